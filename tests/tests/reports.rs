//! What agents report, at a real API server: it stands on their pods, Events tell of it, and it is counted once.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use crik_api::report::{
    Checkpointed, LAST_CHECKPOINT, LAST_FAILURE, LAST_REPORT, LAST_START, MOVE, Occasion, PROTECTION,
    RESTORED, Report, ReportId, Resumed, Skipped, ToldProtection, What,
};
use crik_api::workload::{Workload, WorkloadList};
use crik_tests::chart::template::{chart, values};
use crik_tests::control_plane::{Account, ControlPlane, PatchKind, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{Answer, get, get_as, post_as};
use crik_tests::shared::Shared;
use crik_tests::wait::wait_for;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

const APP: Account<'_> = Account { namespace: "default", name: "app" };
const CONTROLLER: Account<'_> = Account { namespace: "crik", name: "crik-controller" };
const PODS: &str = "/api/v1/namespaces/default/pods";

/// The release whose rights the controller has.
const VALUES: &str = r#"{
    "inject": {"enabled": true, "reports": true, "agentImage": "registry.example/crik-agent:1"},
    "resourceQuota": {"enabled": false}
}"#;

/// One for all tests, each of which has pods of its own.
static CLUSTER: Shared<Cluster> = Shared::new();

/// A control plane with a node, and two replicas with the rights that the chart gives.
struct Cluster {
    replicas: [Controller; 2],
    kubeconfig: PathBuf,
    plane: ControlPlane,
}

impl Cluster {
    fn shared() -> Result<Arc<Self>> {
        CLUSTER.get(Self::new)
    }

    fn new() -> Result<Self> {
        let (plane, kubeconfig) = plane()?;
        let start = || Controller::watching(&kubeconfig, &["--reports", "--workloads"]);
        Ok(Self { replicas: [start()?, start()?], kubeconfig, plane })
    }

    fn agent(&self, pod: &str) -> Result<Agent<'_>> {
        Agent::of(&self.plane, pod, &json!({}))
    }
}

/// A control plane with a node, a ServiceAccount for pods, and a release of the chart; and a kubeconfig of its controller.
fn plane() -> Result<(ControlPlane, PathBuf)> {
    let plane = ControlPlane::start()?;
    plane.create_node(&TestNode::ready("a"))?;
    plane.api().create_all(&[
        json!({"kind": "ServiceAccount", "metadata": {"name": "app"}}),
        json!({"kind": "Namespace", "metadata": {"name": "crik"}}),
    ])?;
    let file = values(VALUES)?;
    let path = file.path().display().to_string();
    drop(plane.helm(&["install", "crik", &chart(), "--namespace", "crik", "--values", &path])?);
    let kubeconfig = plane.kubeconfig_of(CONTROLLER)?;
    Ok((plane, kubeconfig))
}

/// One who reports as the agent of a pod does.
struct Agent<'a> {
    plane: &'a ControlPlane,
    pod: String,
    token: String,
}

impl<'a> Agent<'a> {
    /// That of a new pod on the node, where no kubelet is in the way.
    fn of(plane: &'a ControlPlane, pod: &str, spec: &Value) -> Result<Self> {
        plane.api().create_all(&[labelled(pod, spec)])?;
        let token = plane.token(APP, TokenRequest { audience: "crik", pod, seconds: 0 })?;
        Ok(Self { plane, pod: pod.to_owned(), token })
    }

    fn url(&self, controller: &Controller) -> String {
        controller.url(&format!("/v1/pods/default/{}/reports", self.pod))
    }

    fn post(&self, controller: &Controller, text: &str) -> Result<Answer> {
        post_as(&self.token, &self.url(controller), text)
    }

    fn send(&self, controller: &Controller, number: u64, what: What) -> Result<Answer> {
        self.post(controller, &text(number, what))
    }

    /// Reports, and expects that it is taken, perhaps after others that came at once.
    fn tells(&self, controller: &Controller, number: u64, what: What) -> Result<()> {
        let answer = wait_for("its turn", || {
            self.send(controller, number, what.clone()).ok().filter(|answer| answer.status != 429)
        })?;
        ensure!(answer.status == 204, "{} {}\n{}", answer.status, answer.body, controller.log());
        Ok(())
    }

    fn object(&self) -> Result<Value> {
        self.plane.api().get(&format!("{PODS}/{}", self.pod))
    }

    /// What an annotation of the pod says; null if it is not there.
    fn says(&self, name: &str) -> Result<Value> {
        let text = self.object()?["metadata"]["annotations"][name].clone();
        text.as_str().map_or(Ok(Value::Null), |text| Ok(serde_json::from_str(text)?))
    }

    fn annotate(&self, name: &str, text: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {name: text}}});
        self.plane.api().patch(&format!("{PODS}/{}", self.pod), PatchKind::Merge, &patch).map(drop)
    }

    /// The Events of the pod, each as its reason and type, the oldest first.
    fn events(&self) -> Result<Vec<(String, String)>> {
        let list = self.plane.api().get("/api/v1/namespaces/default/events")?;
        let uid = self.object()?["metadata"]["uid"].clone();
        let mut own: Vec<&Value> = list["items"].as_array().context("no list")?.iter().collect();
        own.retain(|event| event["involvedObject"]["uid"] == uid);
        own.sort_by_key(|event| {
            event["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse::<u64>().ok())
        });
        let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        Ok(own.into_iter().map(|event| (word(event, "reason"), word(event, "type"))).collect())
    }

    fn has_events(&self, expected: &[(&str, &str)]) -> Result<()> {
        let found = self.events()?;
        let found: Vec<(&str, &str)> = found.iter().map(|(reason, kind)| (&**reason, &**kind)).collect();
        ensure!(found == expected, "{found:?}");
        Ok(())
    }
}

fn labelled(name: &str, spec: &Value) -> Value {
    let mut all = json!({"serviceAccountName": "app", "nodeName": "a", "containers": [{"name": "app", "image": "app"}]});
    for (key, value) in spec.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    json!({"kind": "Pod", "metadata": {"name": name, "labels": {"crik.dev/inject": "true"}}, "spec": all})
}

fn text(number: u64, what: What) -> String {
    let id = ReportId { began: 1_795_000_000_000, number };
    let report = Report { id, seconds_ago: 1.0, node: "a".to_owned(), what };
    serde_json::to_string(&report).unwrap_or_default()
}

fn examined(protected: bool) -> What {
    What::Examined(ToldProtection { protected, why: (!protected).then(|| "no volume".to_owned()) })
}

fn checkpointed(generation: u64, occasion: Occasion) -> What {
    What::Checkpointed(Checkpointed {
        generation,
        occasion,
        frozen_seconds: 0.25,
        durable_seconds: 1.5,
        bytes: 3000,
        stored_bytes: 2000,
        new_bytes: 1000,
    })
}

fn failed(occasion: Occasion) -> What {
    What::NotCheckpointed { occasion, why: "the volume is full".to_owned() }
}

fn resumed() -> What {
    let skipped = vec![Skipped { generation: 8, why: "another kernel".to_owned() }];
    What::Resumed(Resumed {
        generation: 7,
        seconds: 2.0,
        saved_seconds: 3600.0,
        from: Some("b".to_owned()),
        skipped,
    })
}

/// A controller alone, so that what it counts is of one test.
fn alone(cluster: &Cluster, flags: &[&str]) -> Result<Controller> {
    Controller::watching(&cluster.kubeconfig, &[&["--reports"], flags].concat())
}

#[test]
fn each_kind_of_report_stands_on_the_pod_is_told_and_is_counted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = alone(&cluster, &["--workloads"])?;
    let agent = cluster.agent("kinds")?;
    agent.annotate(MOVE, r#"{"asked":"t","step":"asked","at":"t"}"#)?;
    agent.tells(&controller, 1, examined(false))?;
    ensure!(agent.says(PROTECTION)? == json!({"protected": false, "why": "no volume"}));
    agent.tells(&controller, 2, What::StartedFresh { why: Some("all were damaged".to_owned()) })?;
    ensure!(agent.says(LAST_START)?["whyFresh"] == "all were damaged");
    agent.tells(&controller, 3, examined(true))?;
    agent.tells(&controller, 4, failed(Occasion::Interval))?;
    agent.tells(&controller, 5, failed(Occasion::Interval))?;
    ensure!(agent.says(LAST_FAILURE)?["why"] == "the volume is full");
    agent.tells(&controller, 6, checkpointed(7, Occasion::Interval))?;
    ensure!(agent.says(LAST_CHECKPOINT)?["generation"] == 7 && agent.says(LAST_FAILURE)?.is_null());
    agent.tells(&controller, 7, What::MoveBegun { asked: "t".to_owned() })?;
    ensure!(agent.says(MOVE)?["step"] == "begun");
    agent.tells(&controller, 8, checkpointed(8, Occasion::Move))?;
    ensure!(agent.says(MOVE)?["step"] == "durable");
    agent.tells(&controller, 9, What::Stayed)?;
    ensure!(agent.says(MOVE)?["step"] == "stayed");
    agent.tells(&controller, 10, What::ToldToStop { why: "the pod was deleted".to_owned() })?;
    agent.tells(&controller, 11, resumed())?;
    ensure!(agent.says(LAST_START)?["resumed"]["skipped"][0]["why"] == "another kernel");
    ensure!(agent.says(LAST_REPORT)?["number"] == 11);
    agent.has_events(&[
        ("NotProtected", "Warning"),
        ("StartedFresh", "Warning"),
        ("Protected", "Normal"),
        ("NotCheckpointed", "Warning"),
        ("Checkpointed", "Normal"),
        ("Stayed", "Normal"),
        ("ToldToStop", "Normal"),
        ("Resumed", "Normal"),
    ])?;
    let described = cluster.plane.kubectl(&["describe", "pod", "kinds"])?;
    ensure!(
        described.contains("goes on from checkpoint 7") && described.contains("crik-controller"),
        "{described}"
    );
    for (name, value) in [
        ("crik_reports_total{result=\"taken\"}", 11.0),
        ("crik_pod_events_total{result=\"written\"}", 8.0),
        ("crik_checkpoints_total{occasion=\"interval\",outcome=\"durable\"}", 1.0),
        ("crik_checkpoints_total{occasion=\"interval\",outcome=\"failed\"}", 2.0),
        ("crik_checkpoints_total{occasion=\"move\",outcome=\"durable\"}", 1.0),
        ("crik_checkpoints_total{occasion=\"stop\",outcome=\"unwanted\"}", 1.0),
        ("crik_starts_total{how=\"resumed\"}", 1.0),
        ("crik_starts_total{how=\"fresh\"}", 0.0),
        ("crik_starts_total{how=\"fresh-after-skipped\"}", 1.0),
        ("crik_checkpoint_frozen_seconds_count", 2.0),
        ("crik_checkpoint_durable_seconds_sum", 3.0),
        ("crik_resume_seconds_sum", 2.0),
        ("crik_checkpoint_bytes_total", 6000.0),
        ("crik_checkpoint_stored_bytes_total", 4000.0),
        ("crik_checkpoint_new_bytes_total", 2000.0),
        ("crik_saved_seconds_total", 3600.0),
    ] {
        let found = controller.metric(name)?;
        ensure!((found - value).abs() < 1e-6, "{name} is {found}");
    }
    Ok(())
}

#[test]
fn a_report_is_taken_once_however_often_and_to_whichever_replica_it_comes() -> Result<()> {
    let cluster = Cluster::shared()?;
    let (mut one, other) = (alone(&cluster, &["--workloads"])?, alone(&cluster, &[])?);
    let agent = cluster.agent("often")?;
    agent.tells(&one, 1, What::StartedFresh { why: None })?;
    let before = agent.object()?["metadata"]["resourceVersion"].clone();
    agent.tells(&one, 1, What::StartedFresh { why: None })?;
    agent.tells(&other, 1, What::StartedFresh { why: None })?;
    ensure!(agent.object()?["metadata"]["resourceVersion"] == before, "a repeat has changed the pod");
    // The next one, at both in the same moment.
    thread::scope(|scope| {
        let sent =
            [&one, &other, &one, &other].map(|at| scope.spawn(|| agent.tells(at, 2, failed(Occasion::Stop))));
        sent.into_iter().try_for_each(|sent| sent.join().map_err(|_| anyhow!("a sender panicked"))?)
    })?;
    let counted = |at: &Controller| at.metric("crik_checkpoints_total{occasion=\"stop\",outcome=\"failed\"}");
    ensure!(
        (counted(&one)? + counted(&other)? - 1.0).abs() < 1e-6,
        "{:?} {:?}",
        counted(&one),
        counted(&other)
    );
    one.restart()?;
    agent.tells(&one, 2, failed(Occasion::Stop))?;
    agent.tells(&one, 1, What::StartedFresh { why: None })?;
    ensure!(counted(&one)? < 0.5, "a repeat is counted after a restart");
    ensure!(agent.says(LAST_REPORT)?["number"] == 2);
    agent.has_events(&[("StartedFresh", "Normal"), ("NotCheckpointed", "Warning")])
}

#[test]
fn nobody_reports_for_a_pod_but_the_pod_itself() -> Result<()> {
    let cluster = Cluster::shared()?;
    let everywhere = ["--allow-all-nodes-for", "system:serviceaccount:default:app"];
    let (agent, other) = (cluster.agent("forged")?, cluster.agent("forger")?);
    let unbound = cluster.plane.token(APP, TokenRequest { audience: "crik", ..TokenRequest::default() })?;
    let elsewhere =
        cluster.plane.token(APP, TokenRequest { audience: "other", pod: "forged", seconds: 0 })?;
    let before = agent.object()?;
    for flags in [&everywhere[..], &[&everywhere[..], &["--auth", "token"]].concat()] {
        let controller = alone(&cluster, flags)?;
        for (token, status) in
            [("", 401), ("nonsense", 401), (&*elsewhere, 401), (&*unbound, 403), (&*other.token, 403)]
        {
            let answer = post_as(token, &agent.url(&controller), &text(1, failed(Occasion::Stop)))?;
            ensure!(answer.status == status, "{token}: {} {}", answer.status, answer.body);
        }
        ensure!(controller.metric("crik_reports_total{result=\"taken\"}")? < 0.5);
    }
    ensure!(agent.object()? == before, "the pod was changed");
    agent.has_events(&[])
}

#[test]
fn the_token_of_a_pod_that_is_gone_says_nothing_of_the_next_one_of_its_name() -> Result<()> {
    let cluster = Cluster::shared()?;
    // One that has found the token good, and believes that for an hour.
    let controller = alone(&cluster, &["--token-ttl", "1h"])?;
    let old = cluster.agent("again")?;
    old.tells(&controller, 1, examined(true))?;
    cluster.plane.kubectl(&["delete", "pod", "again", "--force", "--grace-period=0", "--wait=false"])?;
    let new = wait_for("the name to be free", || cluster.agent("again").ok())?;
    let answer = old.send(&controller, 2, failed(Occasion::Stop))?;
    ensure!(
        answer.status == 403 && answer.json()["code"] == "no-such-pod",
        "{} {}",
        answer.status,
        answer.body
    );
    ensure!(new.says(LAST_REPORT)?.is_null());
    new.tells(&controller, 1, examined(true))?;
    new.has_events(&[])
}

#[test]
fn what_is_no_report_is_refused_and_a_later_word_is_none_of_that() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = alone(&cluster, &[])?;
    let agent = cluster.agent("garbage")?;
    let large = text(1, What::ToldToStop { why: "x".repeat(20 << 10) });
    for (body, status, code) in [
        (&*large, 413, "body-too-large"),
        ("", 400, "invalid-request"),
        ("{", 400, "invalid-request"),
        (r#"{"what":"stayed"}"#, 400, "invalid-request"),
        (r#"{"id":{"began":-1,"number":1},"what":"stayed"}"#, 400, "invalid-request"),
    ] {
        let answer = agent.post(&controller, body)?;
        ensure!(
            answer.status == status && answer.json()["code"] == code,
            "{} {}",
            answer.status,
            answer.body
        );
    }
    ensure!(agent.says(LAST_REPORT)?.is_null());
    let later = r#"{"id":{"began":1,"number":1},"what":"hibernated","depth":3}"#;
    ensure!(agent.post(&controller, later)?.status == 204);
    ensure!(agent.says(LAST_REPORT)?["number"] == 1);
    agent.has_events(&[])?;
    let lying =
        r#"{"id":{"began":1,"number":2},"what":"resumed","generation":1,"seconds":-5,"savedSeconds":1e300}"#;
    ensure!(agent.post(&controller, lying)?.status == 204);
    ensure!(controller.metric("crik_saved_seconds_total")? < 1e8, "one report spoils the sum");
    let asked = get(&agent.url(&controller))?;
    ensure!(asked.status == 405 && asked.header("allow") == "POST", "{} {}", asked.status, asked.body);
    let elsewhere = post_as(&agent.token, &controller.url("/v1/nodes"), "{}")?;
    ensure!(elsewhere.status == 413, "{}", elsewhere.status);
    Ok(())
}

#[test]
fn a_pod_that_reports_too_often_is_told_to_wait_and_no_other_one_is() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = alone(&cluster, &[])?;
    let (agent, other) = (cluster.agent("chatty")?, cluster.agent("quiet")?);
    let refused = wait_for("a report to be too many", || {
        let answer = agent.send(&controller, 1, What::Stayed).ok()?;
        (answer.status != 204).then_some(answer)
    })?;
    ensure!(refused.status == 429 && refused.tells_to_wait(), "{} {}", refused.status, refused.body);
    ensure!(controller.metric("crik_reports_total{result=\"too-often\"}")? > 0.5);
    other.tells(&controller, 1, What::Stayed)?;
    wait_for("it may report again", || {
        (agent.send(&controller, 2, What::Stayed).ok()?.status == 204).then_some(())
    })
}

#[test]
fn a_pod_that_names_the_gate_is_ready_once_its_program_runs() -> Result<()> {
    let cluster = Cluster::shared()?;
    let gate = json!({"readinessGates": [{"conditionType": RESTORED}]});
    let agent = Agent::of(&cluster.plane, "gated", &gate)?;
    // As the kubelet writes its own.
    let path = format!("{PODS}/gated/status");
    let own = json!({"status": {"conditions": [{"type": "ContainersReady", "status": "True"}]}});
    drop(cluster.plane.api().patch(&path, PatchKind::Strategic, &own)?);
    let condition = |kind: &str| -> Result<Value> {
        let all = agent.object()?["status"]["conditions"].clone();
        Ok(all.as_array().into_iter().flatten().find(|one| one["type"] == kind).cloned().unwrap_or_default())
    };
    let replica = &cluster.replicas[0];
    agent.tells(replica, 1, examined(true))?;
    ensure!(condition(RESTORED)?["status"] == "False");
    agent.tells(replica, 2, resumed())?;
    let first = condition(RESTORED)?;
    ensure!(first["status"] == "True" && first["reason"] == "Resumed", "{first}");
    agent.tells(replica, 3, checkpointed(9, Occasion::Asked))?;
    ensure!(condition(RESTORED)? == first && condition("ContainersReady")?["status"] == "True");
    // The container is restarted, and with it the agent.
    let again = r#"{"id":{"began":1795000009999,"number":1},"what":"examined","protected":true}"#;
    ensure!(agent.post(replica, again)?.status == 204);
    ensure!(condition(RESTORED)?["reason"] == "Starting" && condition(RESTORED)?["status"] == "False");
    Ok(())
}

#[test]
fn while_the_api_server_is_away_reports_are_to_come_again_and_then_they_are_taken() -> Result<()> {
    let (mut plane, kubeconfig) = plane()?;
    let controller = Controller::watching(&kubeconfig, &["--reports", "--workloads"])?;
    let token = {
        let agent = Agent::of(&plane, "patient", &json!({}))?;
        agent.tells(&controller, 1, examined(true))?;
        agent.token
    };
    plane.kill_server();
    let url = controller.url("/v1/pods/default/patient/reports");
    let answer = post_as(&token, &url, &text(2, failed(Occasion::Stop)))?;
    ensure!(answer.status == 503 && answer.tells_to_wait(), "{} {}", answer.status, answer.body);
    ensure!(answer.json()["code"] == "api-server-unavailable", "{}", answer.body);
    plane.restart_server()?;
    let agent = Agent { plane: &plane, pod: "patient".to_owned(), token };
    wait_for("the report to be taken", || {
        (agent.send(&controller, 2, failed(Occasion::Stop)).ok()?.status == 204).then_some(())
    })?;
    agent.has_events(&[("NotCheckpointed", "Warning")])?;
    controller.logs("reports can be taken again")?;
    ensure!((controller.metric("crik_reports_total{result=\"taken\"}")? - 2.0).abs() < 1e-6);
    Ok(())
}

#[test]
fn a_controller_that_dies_between_the_event_and_the_pod_leaves_one_event_in_the_end() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("torn")?;
    let torn = without_patches(&cluster)?;
    let answer = agent.send(&torn, 1, failed(Occasion::Stop))?;
    ensure!(answer.status == 403 && answer.body.contains("pods/status"), "{} {}", answer.status, answer.body);
    agent.has_events(&[("NotCheckpointed", "Warning")])?;
    ensure!(agent.says(LAST_REPORT)?.is_null(), "nothing is torn");
    drop(torn);
    let controller = alone(&cluster, &[])?;
    agent.tells(&controller, 1, failed(Occasion::Stop))?;
    ensure!(agent.says(LAST_REPORT)?["number"] == 1);
    agent.has_events(&[("NotCheckpointed", "Warning")])?;
    let counted = controller.metric("crik_checkpoints_total{occasion=\"stop\",outcome=\"failed\"}")?;
    ensure!((counted - 1.0).abs() < 1e-6, "{counted}");
    Ok(())
}

/// One that may do all but write on pods.
fn without_patches(cluster: &Cluster) -> Result<Controller> {
    let plane = &cluster.plane;
    let rules = json!([
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    ]);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "torn"});
    let subject = json!({"kind": "ServiceAccount", "namespace": "crik", "name": "torn"});
    plane.api().create_all(&[
        json!({"kind": "ServiceAccount", "metadata": {"name": "torn", "namespace": "crik"}}),
        json!({"kind": "ClusterRole", "metadata": {"name": "torn"}, "rules": rules}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "torn"}, "roleRef": role, "subjects": [subject]}),
    ])?;
    Controller::watching(&plane.kubeconfig_of(Account { namespace: "crik", name: "torn" })?, &["--reports"])
}

#[test]
fn a_controller_that_is_killed_at_any_moment_takes_each_report_once() -> Result<()> {
    let cluster = Cluster::shared()?;
    let mut controller = alone(&cluster, &[])?;
    let agent = cluster.agent("killed")?;
    for round in 1..=5 {
        let url = agent.url(&controller);
        thread::scope(|scope| {
            let sent = scope.spawn(|| post_as(&agent.token, &url, &text(round, failed(Occasion::Stop))));
            // Later each time: before the Event, between it and the pod, and after both.
            thread::sleep(Duration::from_millis(4 * round));
            controller.restart()?;
            drop(sent.join());
            anyhow::Ok(())
        })?;
        agent.tells(&controller, round, failed(Occasion::Stop))?;
    }
    ensure!(agent.says(LAST_REPORT)?["number"] == 5);
    agent.has_events(&[("NotCheckpointed", "Warning"); 5])
}

#[test]
fn nothing_is_taken_or_told_where_it_is_not_wanted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("off")?;
    let controller = Controller::watching(&cluster.kubeconfig, &[])?;
    let answer = agent.send(&controller, 1, examined(true))?;
    ensure!(answer.status == 404 && answer.json()["code"] == "reports-not-served", "{}", answer.body);
    let answer = get(&controller.url("/v1/workloads"))?;
    ensure!(answer.status == 404 && answer.json()["code"] == "workloads-not-served", "{}", answer.body);
    ensure!(agent.says(LAST_REPORT)?.is_null());
    Ok(())
}

#[test]
fn a_pod_without_the_label_reports_too() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("by-hand")?;
    let unlabel = json!({"metadata": {"labels": {"crik.dev/inject": null}}});
    drop(cluster.plane.api().patch(&format!("{PODS}/by-hand"), PatchKind::Merge, &unlabel)?);
    for number in 1..=2 {
        agent.tells(&cluster.replicas[1], number, examined(number == 2))?;
    }
    ensure!(agent.says(PROTECTION)?["protected"] == true);
    agent.has_events(&[("NotProtected", "Warning"), ("Protected", "Normal")])
}

fn workloads(controller: &Controller, query: &str) -> Result<WorkloadList> {
    let answer = get(&controller.url(&format!("/v1/workloads{query}")))?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    Ok(serde_json::from_str(&answer.body)?)
}

#[test]
fn all_workloads_are_told_with_what_is_known_of_them() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("known")?;
    agent.tells(&cluster.replicas[0], 1, examined(true))?;
    agent.tells(&cluster.replicas[0], 2, checkpointed(7, Occasion::Interval))?;
    let found: Workload = wait_for("the other replica to know", || {
        let all = workloads(&cluster.replicas[1], "?namespace=default").ok()?.workloads;
        all.into_iter().find(|one| one.name == "known" && one.last_checkpoint.is_some())
    })?;
    ensure!(
        found.node.as_deref() == Some("a") && found.node_state == crik_api::NodeState::Ready,
        "{found:?}"
    );
    ensure!(found.protection.as_ref().is_some_and(|told| told.protected), "{found:?}");
    ensure!(found.checkpoint_age_seconds.is_some_and(|age| (0.5..60.0).contains(&age)), "{found:?}");
    ensure!(workloads(&cluster.replicas[1], "?namespace=kube-system")?.workloads.is_empty());
    let guarded = alone(&cluster, &["--workloads", "--auth", "token"])?;
    ensure!(get(&guarded.url("/v1/workloads"))?.status == 401);
    ensure!(get_as(&agent.token, &guarded.url("/v1/workloads"))?.status == 403);
    Ok(())
}

/// How many pods a large cluster may have under crik.
const MANY: usize = 10_000;

#[test]
fn ten_thousand_workloads_are_known_in_little_memory_and_told_at_once_or_in_pages() -> Result<()> {
    let (plane, kubeconfig) = plane()?;
    let (without, began) = (Controller::watching(&kubeconfig, &[])?, Instant::now());
    create_many(&plane)?;
    println!("{MANY} pods were created within {:.1} s", began.elapsed().as_secs_f64());
    let controller = Controller::watching(&kubeconfig, &["--workloads"])?;
    wait_for("all to be known", || (workloads(&controller, "").ok()?.workloads.len() == MANY).then_some(()))?;
    let began = Instant::now();
    let answer = get(&controller.url("/v1/workloads"))?;
    let took = began.elapsed();
    let bytes = |of: &Controller| of.metric("process_resident_memory_bytes");
    let each = (bytes(&controller)? - bytes(&without)?) / MANY as f64;
    println!(
        "{MANY} workloads: {:.1} MiB in {:.0} ms; {each:.0} bytes of memory each",
        answer.body.len() as f64 / 1048576.0,
        took.as_secs_f64() * 1e3
    );
    ensure!(each < 6000.0, "{each} bytes for each pod");
    let (mut seen, mut query) = (Vec::new(), "?limit=3000".to_owned());
    loop {
        let page = workloads(&controller, &query)?;
        ensure!(page.workloads.len() <= 3000);
        seen.extend(page.workloads.into_iter().map(|one| one.name));
        let Some(next) = page.next else { break };
        query = format!("?limit=3000&continue={next}");
    }
    ensure!(seen.len() == MANY && seen.is_sorted(), "{}", seen.len());
    let began = Instant::now();
    ensure!((controller.metric("crik_newest_checkpoint_age_seconds{quantile=\"1\"}").is_err()));
    let unheard = controller.metric("crik_workloads{protection=\"protected\",node_state=\"ready\"}")?;
    ensure!((unheard - MANY as f64).abs() < 0.5, "{unheard}");
    println!("two scrapes took {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// As the reports of their agents leave them.
fn create_many(plane: &ControlPlane) -> Result<()> {
    let annotations = json!({
        PROTECTION: r#"{"protected":true}"#,
        LAST_REPORT: r#"{"began":1795000000000,"number":9}"#,
        LAST_START: r#"{"at":"2026-11-27T09:12:00.000Z","resumed":{"generation":6,"seconds":1.1,"savedSeconds":3700,"from":"node-b"}}"#,
        LAST_CHECKPOINT: r#"{"at":"2026-11-27T10:00:09.500Z","generation":7,"occasion":"interval","frozenSeconds":0.2,"durableSeconds":1.5,
            "bytes":3000000000,"storedBytes":2000000000,"newBytes":100000000}"#,
    });
    let client = plane.api().client();
    plane.api().block_on(async {
        let create = async |number: usize| {
            let mut pod = labelled(&format!("many-{number:05}"), &json!({}));
            pod["metadata"]["annotations"] = annotations.clone();
            let request = http::Request::post(PODS).header("content-type", "application/json");
            client.request::<Value>(request.body(serde_json::to_vec(&pod)?)?).await?;
            anyhow::Ok(())
        };
        let mut under_way = futures_util::stream::iter(0..MANY).map(create).buffer_unordered(64);
        while let Some(done) = under_way.next().await {
            done?;
        }
        Ok(())
    })
}
