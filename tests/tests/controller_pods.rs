//! Why a pod was told to stop, as a real API server's Pod objects say after their writers have written them.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::{Result, ensure};
use crik_api::{PodState, PodStatus};
use crik_tests::control_plane::{Account, ControlPlane, PatchKind, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{get, get_as};
use crik_tests::shared::Shared;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// One for all tests, each of which has pods of its own.
static CLUSTER: Shared<Cluster> = Shared::new();

const APP: Account<'_> = Account { namespace: "default", name: "app" };
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A control plane with a node, and a controller that answers everybody, with the rights that its manifest gives.
struct Cluster {
    controller: Controller,
    kubeconfig: PathBuf,
    plane: ControlPlane,
}

impl Cluster {
    fn shared() -> Result<Arc<Self>> {
        CLUSTER.get(Self::new)
    }

    fn new() -> Result<Self> {
        let (controller, kubeconfig, plane) = Controller::of_pods_on("a")?;
        Ok(Self { controller, kubeconfig, plane })
    }

    /// Creates a pod on the node, where no kubelet is in the way.
    fn pod(&self, name: &str) -> Result<()> {
        let container = json!({"name": "app", "image": "app"});
        let spec = json!({"serviceAccountName": "app", "nodeName": "a", "containers": [container]});
        let pod = json!({"kind": "Pod", "metadata": {"name": name}, "spec": spec});
        self.plane.api().create_all(&[pod])
    }

    fn status(&self, name: &str) -> Result<PodStatus> {
        let answer = get(&self.controller.url(&format!("/v1/pods/default/{name}")))?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Expects that the pod is told to be so, because of these signals; an answer may be a moment old.
    fn is(&self, name: &str, state: PodState, signals: &[&str]) -> Result<PodStatus> {
        let found = wait_for(&format!("{name} to be {state}"), || {
            self.status(name).ok().filter(|status| status.state == state)
        })?;
        let names: Vec<&str> = found.reasons.iter().map(|reason| &*reason.signal).collect();
        ensure!(names == signals, "{found:?}");
        Ok(found)
    }

    /// Writes the condition as its writers do: by a strategic merge patch of the status.
    fn disrupt(&self, name: &str, reason: &str) -> Result<()> {
        let condition =
            json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"});
        let status = json!({"status": {"conditions": [condition]}});
        self.plane.api().patch(&format!("{PODS}/{name}/status"), PatchKind::Strategic, &status).map(drop)
    }

    /// The token of a pod, as the kubelet projects it.
    fn token(&self, pod: &str) -> Result<String> {
        self.plane.token(APP, TokenRequest { audience: "crik", pod, seconds: 0 })
    }

    /// A controller that asks for tokens.
    fn guarded(&self, flags: &[&str]) -> Result<Controller> {
        self.allow_reviews()?;
        Controller::watching(&self.kubeconfig, &[&["--auth", "token"], flags].concat())
    }

    fn allow_reviews(&self) -> Result<()> {
        let name = "crik-controller-tokens";
        if self.plane.kubectl(&["get", "clusterrole", name]).is_ok() {
            return Ok(());
        }
        let verb = ["--verb=create", "--resource=tokenreviews.authentication.k8s.io"];
        self.plane.kubectl(&[&["create", "clusterrole", name][..], &verb].concat())?;
        let account = "--serviceaccount=crik:crik-controller";
        let role = format!("--clusterrole={name}");
        self.plane.kubectl(&["create", "clusterrolebinding", name, &role, account]).map(drop)
    }
}

#[test]
fn a_pod_that_nobody_ends_is_running() -> Result<()> {
    let cluster = Cluster::shared()?;
    cluster.pod("quiet")?;
    let found = cluster.is("quiet", PodState::Running, &[])?;
    ensure!(found.namespace == "default" && found.name == "quiet" && found.uid.len() == 36, "{found:?}");
    ensure!(found.deletion_grace_seconds.is_none(), "{found:?}");
    Ok(())
}

#[test]
fn an_eviction_by_the_api_is_a_disruption_and_tells_its_grace() -> Result<()> {
    let cluster = Cluster::shared()?;
    cluster.pod("evicted")?;
    cluster.is("evicted", PodState::Running, &[])?;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"},
                          "deleteOptions": {"gracePeriodSeconds": 5}});
    cluster.plane.api().create(&format!("{PODS}/evicted/eviction"), &eviction)?;
    let found = cluster.is("evicted", PodState::Disrupted, &["api-eviction"])?;
    ensure!(found.deletion_grace_seconds == Some(5), "{found:?}");
    ensure!(found.reasons[0].observed.contains("EvictionByEvictionAPI"), "{found:?}");
    Ok(())
}

#[test]
fn a_deletion_by_hand_is_the_owners_wish() -> Result<()> {
    let cluster = Cluster::shared()?;
    cluster.pod("deleted")?;
    cluster.plane.kubectl(&["delete", "pod", "deleted", "--grace-period=7", "--wait=false"])?;
    let found = cluster.is("deleted", PodState::Deleted, &["deletion"])?;
    ensure!(found.deletion_grace_seconds == Some(7), "{found:?}");
    Ok(())
}

#[test]
fn each_writer_of_the_condition_is_told_apart() -> Result<()> {
    let cluster = Cluster::shared()?;
    for (reason, signal) in [
        ("PreemptionByScheduler", "scheduler-preemption"),
        ("DeletionByTaintManager", "taint-eviction"),
        ("TerminationByKubelet", "kubelet-termination"),
        ("OfALaterRelease", "disruption"),
    ] {
        let name = format!("by-{signal}");
        cluster.pod(&name)?;
        cluster.disrupt(&name, reason)?;
        cluster.is(&name, PodState::Disrupted, &[signal])?;
        // They delete the pod when they have said why.
        cluster.plane.kubectl(&["delete", "pod", &name, "--wait=false"])?;
        cluster.is(&name, PodState::Disrupted, &[signal])?;
    }
    Ok(())
}

#[test]
fn a_pod_that_is_not_there_is_404_and_a_name_that_cannot_be_400() -> Result<()> {
    let cluster = Cluster::shared()?;
    for (path, status, why) in [
        ("/v1/pods/default/never", 404, "there is no pod never in the namespace default"),
        ("/v1/pods/nowhere/never", 404, "in the namespace nowhere"),
        ("/v1/pods/default/Bad_Name", 400, "is no pod name"),
        ("/v1/pods/a.b/never", 400, "is no namespace"),
        ("/v1/pods/default", 404, "no such route"),
        ("/v1/pods/default/..%2Fsecrets", 400, "is no pod name"),
        ("/v1/pods/..%2F..%2Fnodes/a", 400, "is no namespace"),
    ] {
        let answer = get(&cluster.controller.url(path))?;
        ensure!(answer.status == status && answer.body.contains(why), "{path}: {}", answer.body);
    }
    Ok(())
}

#[test]
fn a_token_opens_its_own_pod_and_no_other() -> Result<()> {
    let cluster = Cluster::shared()?;
    let user = "system:serviceaccount:default:app";
    let controller = cluster.guarded(&["--allow-all-nodes-for", user])?;
    cluster.pod("mine")?;
    cluster.pod("yours")?;
    let token = cluster.token("mine")?;
    let ask = |token: &str, path: &str| get_as(token, &controller.url(path));
    let own = ask(&token, "/v1/pods/default/mine")?;
    ensure!(own.status == 200 && own.json()["state"] == "running", "{}", own.body);
    // To be allowed all nodes is no permission for other pods, whether they are there or not.
    for path in ["/v1/pods/default/yours", "/v1/pods/kube-system/mine", "/v1/pods/default/never"] {
        let answer = ask(&token, path)?;
        ensure!(answer.status == 403 && answer.body.contains("not the one of the pod"), "{}", answer.body);
    }
    let unbound = cluster.plane.token(APP, TokenRequest { audience: "crik", ..TokenRequest::default() })?;
    ensure!(ask(&unbound, "/v1/pods/default/mine")?.status == 403);
    ensure!(get(&controller.url("/v1/pods/default/mine"))?.status == 401);
    let asked = controller.metric("crik_pod_questions_total{result=\"running\"}")?;
    ensure!(asked as u64 == 1, "{asked} questions for those who may not ask");
    Ok(())
}

#[test]
fn another_pod_under_the_name_of_a_tokens_pod_is_not_that_pod() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = cluster.guarded(&[])?;
    cluster.pod("again")?;
    let token = cluster.token("again")?;
    let ask = || get_as(&token, &controller.url("/v1/pods/default/again"));
    ensure!(ask()?.status == 200);
    cluster.plane.kubectl(&["delete", "pod", "again", "--force", "--grace-period=0"])?;
    cluster.pod("again")?;
    // The token was found good a moment ago, and counts for a while.
    wait_for("the other pod to be told apart", || {
        let answer = ask().ok()?;
        (answer.status == 404 && answer.body.contains("another one is default/again")).then_some(())
    })
}

#[test]
fn many_who_ask_at_once_cost_one_question() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = Controller::watching(&cluster.kubeconfig, &[])?;
    cluster.pod("popular")?;
    let url = controller.url("/v1/pods/default/popular");
    thread::scope(|scope| {
        let asked: Vec<_> = (0..40).map(|_| scope.spawn(|| get(&url))).collect();
        for answer in asked {
            let answer = answer.join().map_err(|_| anyhow::anyhow!("a request panicked"))??;
            ensure!(answer.status == 200, "{}", answer.body);
        }
        anyhow::Ok(())
    })?;
    let questions = controller.metric("crik_pod_questions_total{result=\"running\"}")?;
    println!("40 who asked at once cost {questions} questions");
    // One, unless this machine takes longer for all of them than an answer is said again.
    ensure!(questions <= 4.0, "{questions}");
    Ok(())
}

#[test]
fn without_the_right_the_log_and_the_answer_name_the_verb() -> Result<()> {
    let cluster = Cluster::new()?;
    cluster.pod("unseen")?;
    cluster.plane.forbid_pods()?;
    let url = cluster.controller.url("/v1/pods/default/unseen");
    wait_for("the right to be gone", || {
        let answer = get(&url).ok()?;
        (answer.status == 403 && answer.body.contains("the verb get on pods")).then_some(())
    })?;
    cluster.controller.logs("agents are not told why their pods are told to stop")?;
    // Nodes are not touched by it.
    ensure!(cluster.controller.status("a")?.state == crik_api::NodeState::Ready);
    cluster.plane.set_controllers_verbs(&json!(["get", "list", "watch"]))?;
    cluster.is("unseen", PodState::Running, &[])?;
    cluster.controller.logs("pods can be looked at again")
}

#[test]
fn an_api_server_that_hangs_is_told_in_time() -> Result<()> {
    let cluster = Cluster::new()?;
    cluster.pod("waiting")?;
    cluster.is("waiting", PodState::Running, &[])?;
    cluster.plane.server().signal(Signal::SIGSTOP)?;
    let url = cluster.controller.url("/v1/pods/default/waiting");
    let answer = wait_for("the question to fail", || get(&url).ok().filter(|answer| answer.status != 200));
    cluster.plane.server().signal(Signal::SIGCONT)?;
    let answer = answer?;
    ensure!(answer.status == 503 && answer.body.contains("has not answered in time"), "{}", answer.body);
    ensure!(answer.tells_to_wait());
    cluster.is("waiting", PodState::Running, &[]).map(drop)
}

#[test]
fn where_nothing_is_told_of_pods_that_is_said() -> Result<()> {
    let cluster = Cluster::shared()?;
    let from_file = Controller::start(&[TestNode::ready("a")])?;
    let off = Controller::watching(&cluster.kubeconfig, &["--pods", "false"])?;
    for controller in [from_file, off] {
        let answer: (u16, Value) = {
            let answer = get(&controller.url("/v1/pods/default/any"))?;
            (answer.status, answer.json())
        };
        let said = answer.1["error"].as_str().unwrap_or_default();
        ensure!(answer.0 == 404 && said.contains("--pods=true"), "{answer:?}");
    }
    Ok(())
}
