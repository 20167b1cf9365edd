//! Evictions of pods under crik, at a real API server that asks a real controller.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_api::report::{MOVE, MOVE_HEADER, Move, POD_HEADER, Step};
use crik_tests::chart::moved::{Moves, deadline, moving, protected};
use crik_tests::chart::release::Release;
use crik_tests::control_plane::{Account, Evictor, PatchKind, Port, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{Answer, get_with};
use crik_tests::measure::{median, milliseconds};
use crik_tests::wait::{PATIENCE, wait_for};
use futures_util::{StreamExt as _, future};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

fn moves(namespace: &'static str) -> Result<Moves> {
    Moves::new(Release::new(namespace)?)
}

fn both(one: &Value, other: &Value) -> Value {
    let all = [one, other].into_iter().filter_map(Value::as_object).flatten();
    all.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[test]
fn an_eviction_waits_until_the_checkpoint_is_durable() -> Result<()> {
    let moves = moves("durable")?;
    let controller = moves.controller(&[])?;
    moves.create("job", "durable-a", &protected())?;
    moves.is_known("job")?;
    ensure!(moves.moving("job")?.is_none(), "a dry run has written something");
    let answer = moves.is_held("job")?;
    ensure!(answer.retry_after == Some(Duration::from_secs(1)), "{answer:?}");
    ensure!(answer.message.contains("crik takes a checkpoint of its program first"), "{answer:?}");
    let asked = moves.moving("job")?.context("nothing was written")?;
    ensure!(asked.step == Step::Asked, "{asked:?}");
    moves.is_held("job")?;
    ensure!(moves.moving("job")?.as_ref() == Some(&asked), "it was asked again");
    moves.steps("job", Step::Begun)?;
    moves.is_held("job")?;
    controller.metric_becomes("crik_moves{for=\"checkpoint\"}", 1.0)?;
    moves.steps("job", Step::Durable)?;
    moves.becomes_free("job")?;
    for (result, least) in [("asked", 1.0), ("held", 2.0), ("dry-run", 1.0), ("durable", 1.0)] {
        let counted = controller.metric(&format!("crik_evictions_total{{result=\"{result}\"}}"))?;
        ensure!(counted >= least, "{result}: {counted}");
    }
    Ok(())
}

#[test]
fn a_pod_with_nothing_to_wait_for_is_let_go_at_once() -> Result<()> {
    let moves = moves("free")?;
    let plane = Arc::clone(&moves.release.plane);
    for node in ["free-well", "free-goes"] {
        drop(plane.create_node(&TestNode::ready(node))?);
    }
    drop(plane.shut_down("free-goes")?);
    let _controller = moves.controller(&[])?;
    let long_ago = Duration::from_secs(11);
    let told = |step, ago| both(&protected(), &moving(step, ago));
    let unlabelled =
        json!({"metadata": {"labels": {"crik.dev/inject": "false"}, "annotations": protected()}});
    moves.create_with("unlabelled", "free-well", &unlabelled)?;
    for (name, node, annotations) in [
        ("silent", "free-well", json!({})),
        (
            "unprotected",
            "free-well",
            json!({"crik.dev/protection": r#"{"protected":false,"why":"no volume"}"#}),
        ),
        ("on-a-node-that-goes", "free-goes", protected()),
        ("failed", "free-well", told(Step::Failed, Duration::ZERO)),
        ("stayed", "free-well", told(Step::Stayed, Duration::ZERO)),
        ("unheard", "free-well", told(Step::Asked, long_ago)),
        ("late", "free-well", both(&deadline("60s"), &moving(Step::Begun, Duration::from_secs(61)))),
    ] {
        moves.create(name, node, &annotations)?;
    }
    // The last that was created: what the watch tells comes in its order.
    moves.create("last", "free-well", &protected())?;
    moves.is_known("last")?;
    for name in
        ["unlabelled", "silent", "unprotected", "on-a-node-that-goes", "failed", "stayed", "unheard", "late"]
    {
        let before = moves.moving(name)?;
        moves.is_let_go(name)?;
        ensure!(moves.moving(name)? == before, "{name}: something was written");
    }
    moves.is_held("last").map(drop)
}

#[test]
fn a_pod_waits_no_longer_than_its_deadline_and_the_same_pod_is_asked_anew_long_after_that() -> Result<()> {
    let moves = moves("late")?;
    let _controller = moves.controller(&[])?;
    moves.create("job", "late-a", &deadline("2s"))?;
    moves.create(
        "again",
        "late-a",
        &both(&deadline("2s"), &moving(Step::Stayed, Duration::from_secs(301))),
    )?;
    moves.is_known("job")?;
    moves.is_known("again")?;
    moves.is_held("again")?;
    ensure!(moves.moving("again")?.is_some_and(|moving| moving.step == Step::Asked));
    let began = Instant::now();
    moves.is_held("job")?;
    moves.steps("job", Step::Begun)?;
    moves.becomes_free("job")?;
    let took = began.elapsed();
    ensure!(took >= Duration::from_millis(1900), "it was let go after {took:?}");
    Ok(())
}

#[test]
fn a_budget_that_forbids_the_eviction_answers_itself_and_no_program_is_stopped() -> Result<()> {
    let moves = moves("budget")?;
    let _controller = moves.controller(&[])?;
    let api = moves.release.plane.api();
    let budgets = "/apis/policy/v1/namespaces/budget/poddisruptionbudgets";
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "job"},
                        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "job"}}}});
    drop(api.create(budgets, &budget)?);
    let allows = |number: u32| {
        let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": number, "currentHealthy": 0,
                                       "desiredHealthy": 1, "expectedPods": 1}});
        api.patch(&format!("{budgets}/job/status"), PatchKind::Merge, &status).map(drop)
    };
    allows(0)?;
    let labelled = json!({"metadata": {"labels": {"app": "job"}, "annotations": protected()}});
    moves.create_with("job", "budget-a", &labelled)?;
    moves.create("other", "budget-a", &protected())?;
    moves.is_known("other")?;
    let refused = moves.evict("job")?;
    ensure!(refused.code == 429 && refused.message.contains("disruption budget"), "{refused:?}");
    ensure!(moves.moving("job")?.is_none(), "its agent was asked");
    moves.is_held("other")?;
    allows(1)?;
    let held = || moves.evict("job").ok().filter(|answer| answer.message.contains("evict.crik.dev"));
    drop(wait_for("the budget to be known", held)?);
    moves.create_with("next", "budget-b", &labelled)?;
    moves.is_known("next")?;
    moves.is_held("next")?;
    ensure!(moves.moving("next")?.is_none(), "two stand still, of which one may go");
    moves.steps("job", Step::Stayed)?;
    let asked = || moves.is_held("next").ok().and_then(|_| moves.moving("next").ok().flatten());
    wait_for("the next one to be asked", asked).map(drop)
}

#[test]
fn nothing_that_happens_to_the_controller_keeps_a_node_from_being_drained() -> Result<()> {
    let moves = moves("faults")?;
    let mut controller = moves.controller(&[])?;
    for name in ["forbidden", "hangs", "away"] {
        moves.create(name, "faults-a", &protected())?;
        moves.is_known(name)?;
    }
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/faults-crik-controller";
    let rules = moves.release.plane.api().get(role)?["rules"].clone();
    let fewer: Vec<Value> = rules.as_array().into_iter().flatten().cloned().collect();
    let fewer: Vec<_> =
        fewer.into_iter().filter(|rule| rule["resources"] != json!(["pods/status"])).collect();
    drop(moves.release.plane.api().patch(role, PatchKind::Merge, &json!({"rules": fewer}))?);
    let account = "system:serviceaccount:faults:crik-controller";
    let may = [
        "auth",
        "can-i",
        "patch",
        "pods",
        "--subresource",
        "status",
        "--namespace",
        "faults",
        "--as",
        account,
    ];
    wait_for("the right to be gone", || moves.release.plane.kubectl(&may).is_err().then_some(()))?;
    moves.is_let_go("forbidden")?;
    controller
        .logs("evictions are let go without a checkpoint before: the move cannot be written on the Pod")?;
    ensure!(controller.metric("crik_evictions_total{result=\"error\"}")? >= 1.0);
    drop(moves.release.plane.api().patch(role, PatchKind::Merge, &json!({"rules": rules}))?);
    let pid = Pid::from_raw(controller.pid().cast_signed());
    kill(pid, Signal::SIGSTOP)?;
    let began = Instant::now();
    let answer = moves.evict("hangs");
    let took = began.elapsed();
    kill(pid, Signal::SIGCONT)?;
    ensure!(answer?.is_allowed() && moves.moving("hangs")?.is_none());
    eprintln!("a controller that hangs has held an eviction up for {:.1} s", took.as_secs_f64());
    ensure!(took >= Duration::from_secs(3) && took < Duration::from_secs(10), "{took:?}");
    controller.terminate()?;
    controller.wait()?;
    moves.is_let_go("away")
}

/// What a waiting poll of a pod's agent is answered.
fn poll(controller: &Controller, node: &str, query: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let answer = get_with(&controller.url(&format!("/v1/nodes/{node}{query}")), headers)?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    Ok(answer)
}

#[test]
fn an_agent_that_waits_is_told_of_its_pods_move_once_and_no_other_is() -> Result<()> {
    let moves = moves("woken")?;
    drop(moves.release.plane.create_node(&TestNode::ready("woken-a"))?);
    let controller = moves.controller(&[])?;
    wait_for("the node to be known", || {
        controller.status("woken-a").ok().filter(|node| !node.version.is_empty())
    })?;
    let version = controller.status("woken-a")?.version;
    let waits = format!("?wait=30s&since={version}");
    let mut times = Vec::new();
    for number in 0..20 {
        let name = format!("job-{number}");
        moves.create(&name, "woken-a", &protected())?;
        moves.is_known(&name)?;
        let pod = format!("woken/{name}");
        let (told, waited) = thread::scope(|scope| {
            let polling = scope.spawn(|| {
                let answer = poll(&controller, "woken-a", &waits, &[(POD_HEADER, &pod)]);
                (answer, Instant::now())
            });
            controller.metric_becomes("crik_waiting_polls", 1.0)?;
            let began = Instant::now();
            moves.is_held(&name)?;
            let (answer, at) = polling.join().map_err(|_| anyhow::anyhow!("the poll has panicked"))?;
            anyhow::Ok((answer?, at.duration_since(began)))
        })?;
        let asked = moves.moving(&name)?.context("no move")?.asked;
        ensure!(told.header(MOVE_HEADER) == asked, "{}", told.header(MOVE_HEADER));
        times.push(milliseconds(waited));
        if number == 0 {
            is_told_once(&controller, &version, &pod, &asked)?;
            is_told_to_its_own_agent(&moves, &name)?;
        }
        moves.steps(&name, Step::Durable)?;
    }
    let middle = median(times.clone());
    eprintln!("from the eviction to the agent's hearing: {middle:.1} ms, the median of 20");
    ensure!(middle < 100.0, "{times:?}");
    Ok(())
}

fn is_told_once(controller: &Controller, version: &str, pod: &str, asked: &str) -> Result<()> {
    let header = |query: &str, headers: &[(&str, &str)]| -> Result<String> {
        Ok(poll(controller, "woken-a", query, headers)?.header(MOVE_HEADER).to_owned())
    };
    let short = format!("?wait=300ms&since={version}");
    ensure!(
        header(&format!("?wait=30s&since={version}"), &[(POD_HEADER, pod)])? == asked,
        "it came too late"
    );
    ensure!(header("?wait=30s&since=other", &[(POD_HEADER, pod)])? == asked, "of another version");
    ensure!(header(&short, &[(POD_HEADER, pod), (MOVE_HEADER, asked)])?.is_empty(), "it has heard of it");
    ensure!(header(&short, &[])?.is_empty(), "it is nobody's agent");
    ensure!(header(&short, &[(POD_HEADER, "woken/other")])?.is_empty(), "it is another pod's");
    Ok(())
}

/// Where tokens are asked for, the header alone names nobody.
fn is_told_to_its_own_agent(moves: &Moves, name: &str) -> Result<()> {
    let port = Port::take()?;
    let controller = moves.release.controller_at(port.number(), &["--auth", "token"])?;
    moves.create("stranger", "woken-a", &protected())?;
    // Anew, since nobody is told for long of one that no agent begins.
    moves.tell(name, &moving(Step::Asked, Duration::ZERO))?;
    let asked = moves.moving(name)?.context("no move")?.asked;
    let (account, own) = (Account { namespace: "woken", name: "default" }, format!("woken/{name}"));
    let header = |pod: &str| -> Result<String> {
        let token = moves.release.plane.token(account, TokenRequest { audience: "crik", pod, seconds: 0 })?;
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer), (POD_HEADER, &*own)];
        Ok(poll(&controller, "woken-a", "?wait=300ms", &headers)?.header(MOVE_HEADER).to_owned())
    };
    wait_for("its own agent to be told", || header(name).ok().filter(|told| *told == asked))?;
    ensure!(header("stranger")?.is_empty(), "another pod's agent was told");
    Ok(())
}

/// How many were under way at the same time, at most.
#[derive(Debug, Default)]
struct Most {
    on_a_node: usize,
    in_all: usize,
}

const PODS: usize = 200;

#[test]
fn no_more_pods_take_a_checkpoint_at_a_time_than_the_limits_say_and_each_has_its_turn() -> Result<()> {
    let moves = moves("limits")?;
    let second = Port::take()?;
    // Each replica is asked about every second pod of both nodes.
    let ends = |digits: &str| format!("request.name.matches('[{digits}]$')");
    moves.release.evictions_at(&[
        ("a.evict.crik.dev", moves.release.port.number(), &ends("02468")),
        ("b.evict.crik.dev", second.number(), &ends("13579")),
    ])?;
    let first = moves.release.controller_at(moves.release.port.number(), &[])?;
    let other = moves.release.controller_at(second.number(), &[])?;
    moves.is_asked(&first, "asked-0")?;
    moves.is_asked(&other, "asked-1")?;
    let node = |number: usize| if number % 4 < 2 { "limits-a" } else { "limits-b" };
    for number in 0..PODS {
        moves.create(&format!("job-{number}"), node(number), &protected())?;
    }
    moves.is_known(&format!("job-{}", PODS - 2))?;
    moves.is_known(&format!("job-{}", PODS - 1))?;
    let (client, evictor, began) = (moves.release.plane.api().client(), moves.evictor(), Instant::now());
    let most = Arc::new(Mutex::new(Most::default()));
    let waited = moves.release.plane.api().block_on(async {
        let agents = tokio::spawn(agents(client, Arc::clone(&most)));
        let all = (0..PODS).map(|number| drain(&evictor, format!("job-{number}")));
        let drained = timeout(PATIENCE, future::try_join_all(all)).await;
        agents.abort();
        drained.context("not all were let go")?
    })?;
    let most = most.lock().unwrap_or_else(PoisonError::into_inner);
    let (took, longest) = (began.elapsed(), waited.into_iter().max().unwrap_or_default());
    eprintln!("{PODS} pods in {took:.1?}, the last after {longest:.1?}; at a time at most {most:?}");
    ensure!(most.on_a_node <= 8 && most.in_all <= 12, "{most:?}");
    ensure!(most.in_all > 6, "they came one after the other: {most:?}");
    Ok(())
}

/// Asks for an eviction until it is allowed, as clients of Kubernetes do; returns how long that took.
async fn drain(evictor: &Evictor, pod: String) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let answer = evictor.evict("limits", &pod, "").await?;
        match answer.retry_after {
            Some(pause) if answer.code == 429 => sleep(pause).await,
            _ => {
                ensure!(answer.is_allowed(), "{pod}: {answer:?}");
                return Ok(began.elapsed());
            }
        }
    }
}

/// Takes a checkpoint for each pod that is asked for one, and looks how many do at a time.
async fn agents(client: Client, most: Arc<Mutex<Most>>) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client, "limits");
    let mut under_way: BTreeMap<String, (String, Step)> = BTreeMap::new();
    let mut watch = Box::pin(watcher::watcher(pods.clone(), watcher::Config::default()));
    while let Some(step) = watch.next().await {
        let (Event::Apply(pod) | Event::InitApply(pod)) = step? else { continue };
        let name = pod.metadata.name.unwrap_or_default();
        let text = pod.metadata.annotations.unwrap_or_default().remove(MOVE);
        let Some(moving) = text.and_then(|text| serde_json::from_str::<Move>(&text).ok()) else { continue };
        let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        let before = under_way.insert(name.clone(), (node, moving.step));
        if moving.step == Step::Asked && before.is_none_or(|(_, before)| before != Step::Asked) {
            drop(tokio::spawn(checkpoint(pods.clone(), name, moving)));
        }
        look(&under_way, &mut most.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Ok(())
}

fn look(pods: &BTreeMap<String, (String, Step)>, most: &mut Most) {
    let is_under_way = |step: Step| matches!(step, Step::Asked | Step::Begun);
    let nodes: Vec<&str> =
        pods.values().filter(|(_, step)| is_under_way(*step)).map(|(node, _)| &**node).collect();
    let on = |node: &str| nodes.iter().filter(|one| **one == node).count();
    most.in_all = most.in_all.max(nodes.len());
    most.on_a_node = most.on_a_node.max(on("limits-a")).max(on("limits-b"));
}

async fn checkpoint(pods: Api<Pod>, name: String, asked: Move) -> Result<()> {
    for (step, takes) in [(Step::Begun, 0), (Step::Durable, 200)] {
        sleep(Duration::from_millis(takes)).await;
        let next = Move { step, at: Timestamp::now().to_string(), ..asked.clone() };
        let patch = json!({"metadata": {"annotations": {MOVE: serde_json::to_string(&next)?}}});
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(())
}
