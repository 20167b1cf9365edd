//! Who may ask for what, decided with a real API server: a pod about its own node, and nobody else about anything.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use crik_tests::control_plane::{Account, ControlPlane, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{Answer, get, get_as, stream_as};
use crik_tests::shared::Shared;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

static CLUSTER: Shared<Cluster> = Shared::new();

const APP: Account<'_> = Account { namespace: "default", name: "app" };

/// A control plane with two nodes, and a pod on the first.
struct Cluster {
    plane: ControlPlane,
    /// Who the controller is.
    kubeconfig: PathBuf,
}

impl Cluster {
    fn shared() -> Result<Arc<Self>> {
        CLUSTER.get(Self::new)
    }

    fn new() -> Result<Self> {
        let cluster = Self::without_permission()?;
        cluster.permit()?;
        Ok(cluster)
    }

    fn without_permission() -> Result<Self> {
        let plane = ControlPlane::start()?;
        let account = json!({"kind": "ServiceAccount", "metadata": {"name": "app"}});
        let node = |name: &str| json!({"kind": "Node", "metadata": {"name": name}});
        plane.api().create_all(&[node("a"), node("b"), account, pod("app-0", "a")])?;
        let controller = plane.create_controllers_identity()?;
        let kubeconfig = plane.kubeconfig_of(controller)?;
        Ok(Self { plane, kubeconfig })
    }

    /// Allows the controller to ask about tokens.
    fn permit(&self) -> Result<()> {
        let name = "crik-controller-tokens";
        let rules = json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
        let subject = json!({"kind": "ServiceAccount", "namespace": "crik", "name": "crik-controller"});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
        self.plane.api().create_all(&[
            json!({"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}),
            json!({"kind": "ClusterRoleBinding", "metadata": {"name": name}, "roleRef": role, "subjects": [subject]}),
        ])
    }

    fn controller(&self, flags: &[&str]) -> Result<Controller> {
        Controller::asking(&self.kubeconfig, &[TestNode::ready("a"), TestNode::ready("b")], flags)
    }

    /// A token of the pod's, as the kubelet projects it.
    fn token(&self, audience: &str) -> Result<String> {
        self.plane.token(APP, TokenRequest { audience, pod: "app-0", seconds: 0 })
    }
}

fn pod(name: &str, node: &str) -> Value {
    let container = json!({"name": "app", "image": "app"});
    json!({"kind": "Pod", "metadata": {"name": name},
           "spec": {"serviceAccountName": "app", "nodeName": node, "containers": [container]}})
}

/// The token with another signature.
fn forged(token: &str) -> Result<String> {
    let (signed, signature) = token.rsplit_once('.').context("no signature")?;
    // The last character cannot be any: it has bits to spare, which are zero.
    let (first, rest) = signature.split_at(1);
    Ok(format!("{signed}.{}{rest}", if first == "A" { "B" } else { "A" }))
}

fn ask(controller: &Controller, token: &str, path: &str) -> Result<Answer> {
    get_as(token, &controller.url(path))
}

/// Asks, and expects this status and words that tell why.
fn expect(controller: &Controller, token: &str, path: &str, status: u16, why: &str) -> Result<()> {
    let answer = ask(controller, token, path)?;
    ensure!(
        answer.status == status && answer.body.contains(why),
        "{path}: {} {}",
        answer.status,
        answer.body
    );
    ensure!(answer.status != 503 || answer.tells_to_wait(), "no Retry-After");
    ensure!(answer.status != 401 || answer.header("www-authenticate").starts_with("Bearer"), "no challenge");
    Ok(())
}

#[test]
fn a_pod_is_told_of_its_own_node_and_of_no_other() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&[])?;
    let token = cluster.token("crik")?;
    for path in ["/v1/nodes/a", "/nodes/a", "/v1/nodes/a?wait=50ms"] {
        expect(&controller, &token, path, 200, "\"name\":\"a\"")?;
    }
    for path in ["/v1/nodes/b", "/nodes/b", "/v1/nodes/b?wait=60s", "/v1/nodes/unknown"] {
        expect(&controller, &token, path, 403, "belongs to a pod on the node \\\"a\\\"")?;
    }
    for path in ["/v1/nodes", "/v1/events"] {
        expect(&controller, &token, path, 403, "--allow-all-nodes-for")?;
    }
    Ok(())
}

#[test]
fn who_shows_no_good_token_is_told_why() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&[])?;
    for path in ["/v1/nodes", "/v1/nodes/a", "/v1/events", "/nodes/a"] {
        let answer = get(&controller.url(path))?;
        ensure!(answer.status == 401 && answer.body.contains("no token"), "{path}: {}", answer.body);
        ensure!(answer.header("www-authenticate") == "Bearer realm=\"crik\"", "{path}");
    }
    expect(&controller, "nonsense", "/v1/nodes/a", 401, "the token is not good")?;
    expect(&controller, &cluster.token("another")?, "/v1/nodes/a", 401, "audience")?;
    expect(&controller, &cluster.token("")?, "/v1/nodes/a", 401, "audience")?;
    let past = SystemTime::now() - Duration::from_secs(60);
    let expired = cluster.plane.token_until(APP, "app-0", past)?;
    expect(&controller, &expired, "/v1/nodes/a", 401, "expired")?;
    let other = Cluster::new()?.token("crik")?;
    expect(&controller, &other, "/v1/nodes/a", 401, "the token is not good")
}

#[test]
fn another_audience_can_be_chosen() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&["--audience", "another"])?;
    expect(&controller, &cluster.token("another")?, "/v1/nodes/a", 200, "ready")?;
    expect(&controller, &cluster.token("crik")?, "/v1/nodes/a", 401, "audience")
}

#[test]
fn a_token_that_expires_is_refused_from_then_on() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&[])?;
    let soon = SystemTime::now() + Duration::from_secs(5);
    let token = cluster.plane.token_until(APP, "app-0", soon)?;
    expect(&controller, &token, "/v1/nodes/a", 200, "ready")?;
    wait_for("the token to be refused", || {
        let began = SystemTime::now();
        let answer = ask(&controller, &token, "/v1/nodes/a").ok()?;
        // The verdict is known for longer than the token lives.
        (answer.status == 401 && answer.body.contains("expired") && began >= soon - Duration::from_secs(1))
            .then_some(())
    })
}

#[test]
fn the_token_of_a_pod_that_is_gone_is_refused() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&[])?;
    cluster.plane.api().create_all(&[pod("short", "b")])?;
    let token = cluster.plane.token(APP, TokenRequest { audience: "crik", pod: "short", seconds: 0 })?;
    cluster.plane.kubectl(&["delete", "pod", "short", "--force", "--grace-period=0", "--wait=false"])?;
    // The API server's own caches may know the pod for a while.
    wait_for("the token to be refused", || {
        let controller = cluster.controller(&[]).ok()?;
        (ask(&controller, &token, "/v1/nodes/b").ok()?.status == 401).then_some(())
    })?;
    expect(&controller, &token, "/v1/nodes/b", 401, "the token is not good")
}

#[test]
fn a_token_without_a_node_opens_nothing_unless_its_user_is_allowed() -> Result<()> {
    let cluster = Cluster::shared()?;
    let token = cluster.plane.token(APP, TokenRequest { audience: "crik", ..TokenRequest::default() })?;
    let controller = cluster.controller(&[])?;
    expect(&controller, &token, "/v1/nodes/a", 403, "names no node")?;
    let user = "someone,system:serviceaccount:default:app";
    let controller = cluster.controller(&["--allow-all-nodes-for", user])?;
    for path in ["/v1/nodes/a", "/v1/nodes/b", "/nodes/b", "/v1/nodes"] {
        expect(&controller, &token, path, 200, "\"name\":\"b\"").or(expect(
            &controller,
            &token,
            path,
            200,
            "\"a\"",
        ))?;
    }
    Ok(())
}

#[test]
fn what_says_nothing_of_nodes_is_open() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&[])?;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.yaml"] {
        ensure!(get(&controller.url(path))?.status == 200, "{path}");
    }
    Ok(())
}

#[test]
fn many_who_ask_at_once_with_one_token_cost_one_question_and_forgers_none() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&[])?;
    let token = cluster.token("crik")?;
    let good = "crik_tokenreviews_total{result=\"good\"}";
    for (token, status) in [(&*token, 200), (&*forged(&token)?, 401)] {
        thread::scope(|scope| {
            let asked: Vec<_> =
                (0..40).map(|_| scope.spawn(|| ask(&controller, token, "/v1/nodes/a"))).collect();
            for answer in asked {
                let answer = answer.join().map_err(|_| anyhow::anyhow!("a request panicked"))??;
                ensure!(answer.status == status, "{}", answer.body);
            }
            anyhow::Ok(())
        })?;
    }
    controller.metric_becomes(good, 1.0)?;
    ensure!(
        controller.metric("crik_tokenreviews_total{result=\"bad\"}").is_err(),
        "it asked about a forged one"
    );
    ensure!(!controller.log().contains(&token), "a token is in the log");
    Ok(())
}

#[test]
fn without_the_permission_to_ask_the_log_names_the_verb_and_signatures_count() -> Result<()> {
    let cluster = Cluster::without_permission()?;
    let controller = cluster.controller(&[])?;
    let token = cluster.token("crik")?;
    // The API server has signed it, and that is all that can be known.
    expect(&controller, &token, "/v1/nodes/a", 200, "ready")?;
    expect(&controller, &token, "/v1/nodes/b", 403, "belongs to a pod")?;
    controller.logs("create on tokenreviews.authentication.k8s.io")?;
    cluster.permit()?;
    wait_for("the token to be confirmed", || {
        let token = cluster.token("crik").ok()?;
        assert_eq!(ask(&controller, &token, "/v1/nodes/a").ok()?.status, 200);
        controller.log().contains("tokens can be checked again").then_some(())
    })?;
    controller.logs("tokens can be checked again")
}

/// A controller that starts while the API server is away has no keys, and does not know whose a token is.
#[test]
fn without_keys_a_token_is_not_taken_and_an_address_causes_so_many_questions() -> Result<()> {
    let mut cluster = Cluster::new()?;
    let controller = cluster.controller(&[])?;
    let token = cluster.token("crik")?;
    cluster.plane.kill_server();
    expect(&controller, &token, "/v1/nodes/a", 503, "ask again")?;
    // A failure is not kept, so each is a question until there were too many.
    let began = Instant::now();
    wait_for("an address to have asked too often", || {
        let answer = ask(&controller, &forged(&token).ok()?, "/v1/nodes/a").ok()?;
        assert_eq!(answer.status, 503, "{}", answer.body);
        answer.body.contains("from your address").then_some(())
    })?;
    let (failed, most) = (
        controller.metric("crik_tokenreviews_total{result=\"failed\"}")?,
        130.0 + 2.0 * began.elapsed().as_secs_f64(),
    );
    ensure!(failed <= most, "{failed} questions, not {most}");
    cluster.plane.restart_server()?;
    wait_for("the token to be taken", || {
        (ask(&controller, &token, "/v1/nodes/a").ok()?.status == 200).then_some(())
    })
}

#[test]
fn what_cannot_be_good_costs_no_question() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&[])?;
    let (another, nobodys) = (cluster.token("another")?, cluster.token("")?);
    let expired = cluster.plane.token_until(APP, "app-0", SystemTime::now() - Duration::from_secs(60))?;
    for token in ["nonsense", "a.b.c", "e30.e30.e30", &another, &nobodys, &expired] {
        expect(&controller, token, "/v1/nodes/a", 401, "the token")?;
    }
    expect(&controller, &forged(&cluster.token("crik")?)?, "/v1/nodes/a", 401, "has not signed it")?;
    ensure!(!get(&controller.url("/metrics"))?.body.contains("crik_tokenreviews_total{"), "it asked");
    Ok(())
}

#[test]
fn while_the_api_server_is_away_its_tokens_are_taken_until_they_expire_but_for_those_that_it_has_refused()
-> Result<()> {
    let mut cluster = Cluster::new()?;
    let controller = cluster.controller(&["--token-ttl", "1s"])?;
    let known = cluster.token("crik")?;
    let fresh = cluster.token("crik")?;
    let soon = SystemTime::now() + Duration::from_secs(10);
    let short = cluster.plane.token_until(APP, "app-0", soon)?;
    expect(&controller, &short, "/v1/nodes/a", 200, "ready")?;
    expect(&controller, &known, "/v1/nodes/a", 200, "ready")?;
    cluster.plane.kill_server();
    expect(&controller, &fresh, "/v1/nodes/a", 200, "ready")?;
    expect(&controller, &fresh, "/v1/nodes/b", 403, "belongs to a pod")?;
    expect(&controller, &forged(&fresh)?, "/v1/nodes/a", 401, "has not signed it")?;
    let failed = "crik_tokenreviews_total{result=\"failed\"}";
    let before = controller.metric(failed)?;
    wait_for("the controller to ask in vain about a token that it knows", || {
        let answer = ask(&controller, &known, "/v1/nodes/a").ok()?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        (controller.metric(failed).ok()? > before).then_some(())
    })?;
    expect(&controller, &known, "/v1/nodes/a", 200, "ready")?;
    expect(&controller, &known, "/v1/nodes/b", 403, "belongs to a pod")?;
    wait_for("the short token to expire", || {
        let began = SystemTime::now();
        let answer = ask(&controller, &short, "/v1/nodes/a").ok()?;
        assert!(answer.status == 200 || began >= soon - Duration::from_secs(1), "{}", answer.body);
        (answer.status == 401 && answer.body.contains("expired")).then_some(())
    })?;
    expect(&controller, &known, "/v1/nodes/a", 200, "ready")?;
    cluster.plane.restart_server()?;
    wait_for("tokens to be taken again", || {
        let both = [&known, &fresh].map(|token| ask(&controller, token, "/v1/nodes/a"));
        both.into_iter().all(|answer| answer.is_ok_and(|answer| answer.status == 200)).then_some(())
    })?;
    cluster.plane.kubectl(&["delete", "pod", "app-0", "--force", "--grace-period=0", "--wait=false"])?;
    let refused = || ask(&controller, &known, "/v1/nodes/a").is_ok_and(|answer| answer.status == 401);
    wait_for("the token of the pod that is gone to be refused", || refused().then_some(()))?;
    // What was refused is not taken again because nobody can be asked.
    cluster.plane.kill_server();
    let before = controller.metric(failed)?;
    // One who asks rarely comes when nothing else is known of it.
    thread::sleep(Duration::from_secs(11));
    ensure!(refused(), "{}", controller.log());
    wait_for("the controller to ask in vain about the token of the pod that is gone", || {
        assert!(refused(), "{}", controller.log());
        (controller.metric(failed).ok()? > before).then_some(())
    })?;
    ensure!(refused(), "{}", controller.log());
    Ok(())
}

#[test]
fn an_api_server_that_hangs_does_not_hold_up_who_shows_a_known_token() -> Result<()> {
    let cluster = Cluster::new()?;
    let controller = cluster.controller(&["--token-ttl", "1s"])?;
    let known = cluster.token("crik")?;
    expect(&controller, &known, "/v1/nodes/a", 200, "ready")?;
    cluster.plane.server().signal(Signal::SIGSTOP)?;
    wait_for("the controller to ask in vain", || {
        let began = Instant::now();
        let answer = ask(&controller, &known, "/v1/nodes/a").ok()?;
        let took = began.elapsed();
        assert!(answer.status == 200 && took < Duration::from_secs(2), "{took:?}: {}", answer.body);
        (controller.metric("crik_tokenreviews_total{result=\"failed\"}").ok()? > 0.0).then_some(())
    })?;
    cluster.plane.server().signal(Signal::SIGCONT)?;
    wait_for("tokens to be checked again", || {
        drop(ask(&controller, &known, "/v1/nodes/a"));
        controller.log().contains("tokens can be checked again").then_some(())
    })
}

#[test]
fn a_stream_ends_with_the_token_that_opened_it() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.controller(&["--allow-all-nodes-for", "system:serviceaccount:default:app"])?;
    let soon = SystemTime::now() + Duration::from_secs(5);
    let token = cluster.plane.token_until(APP, "app-0", soon)?;
    let mut text = String::new();
    let read = stream_as(&token, &controller.url("/v1/events"))?.read_to_string(&mut text);
    read.context("the stream was cut off")?;
    ensure!(text.starts_with("event: snapshot"), "{text}");
    ensure!(SystemTime::now() >= soon - Duration::from_secs(1), "it ended too early");
    expect(&controller, &token, "/v1/nodes", 401, "expired")
}

#[test]
fn without_a_way_to_the_api_server_it_does_not_start() -> Result<()> {
    let output =
        std::process::Command::new(crik_tests::build::cargo_bin("crik-controller", "crik-controller", &[])?)
            .args([
                "--source",
                "file",
                "--nodes-file",
                "/nonexistent",
                "--listen",
                "127.0.0.1:0",
                "--auth",
                "token",
            ])
            .env_clear()
            .env("HOME", "/nonexistent")
            .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("--kubeconfig"), "{said}");
    Ok(())
}
