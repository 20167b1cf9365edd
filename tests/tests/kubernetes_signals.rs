//! Every signal, written to a real API server as its writer writes it, as an agent that waits hears of it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_api::{NodeState, NodeStatus};
use crik_tests::control_plane::ControlPlane;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::get;
use crik_tests::shared::Shared;
use crik_tests::signal_fixture::{self, SignalFixture};
use crik_tests::table::Table;
use crik_tests::wait::{PATIENCE, wait_for};
use serde_json::json;

/// How soon an agent is to hear of a change, counted from the moment at which its writer sends its first request.
const HEARD_WITHIN: Duration = Duration::from_millis(200);

/// How long a node must look well before `shutting-down` lets go of it.
const LATCH: Duration = Duration::from_secs(30);

/// The signal of a node whose pods are deleted while nobody hears of it; it is remembered when the node is back.
const ABSENT: &str = "unreachable-eviction";

/// One for all tests, each of which has nodes of its own.
static CLUSTER: Shared<Cluster> = Shared::new();

/// A control plane and a controller with the rights that its manifest gives.
struct Cluster {
    controller: Controller,
    plane: ControlPlane,
}

impl Cluster {
    fn get() -> Result<Arc<Self>> {
        CLUSTER.get(Self::new)
    }

    fn new() -> Result<Self> {
        let plane = ControlPlane::start()?;
        let account = plane.create_controllers_identity()?;
        let controller = Controller::watching(&plane.kubeconfig_of(account)?, &[])?;
        Ok(Self { controller, plane })
    }

    fn with_node(name: &str) -> Result<Arc<Self>> {
        let cluster = Self::get()?;
        cluster.create(&TestNode::ready(name))?;
        Ok(cluster)
    }

    fn create(&self, node: &TestNode) -> Result<()> {
        let name = node.object()["metadata"]["name"].as_str().context("no name")?.to_owned();
        self.plane.create_node(node)?;
        self.controller.becomes(&name, NodeState::Ready)
    }

    /// Waits until the controller has seen all that happened to a node: a node that is created later comes later on the watch.
    fn saw_all_until_now(&self, node: &str) -> Result<()> {
        self.create(&TestNode::ready(&format!("after-{node}")))
    }

    /// Does something while an agent waits for the node; returns how long after the first request was sent it heard what is
    /// `wanted`.
    fn heard(
        &self,
        node: &str,
        wanted: impl Fn(&NodeStatus) -> bool + Sync,
        happens: impl FnOnce() -> Result<Instant>,
    ) -> Result<Duration> {
        let since = self.controller.status(node)?.version;
        thread::scope(|scope| {
            let agent = scope.spawn(|| self.wait_as_agent(node, since, &wanted));
            // The poll has arrived when a request that was sent later has been answered.
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(10) {
                self.controller.status(node)?;
            }
            let sent = happens()?;
            let heard = agent.join().map_err(|_| anyhow::anyhow!("the agent panicked"))??;
            Ok(heard.saturating_duration_since(sent))
        })
    }

    /// Polls as an agent does until it hears what is `wanted`; returns when.
    fn wait_as_agent(
        &self,
        node: &str,
        mut since: String,
        wanted: impl Fn(&NodeStatus) -> bool,
    ) -> Result<Instant> {
        let began = Instant::now();
        loop {
            let answer = get(&self.controller.url(&format!("/v1/nodes/{node}?wait=20s&since={since}")))?;
            let status: NodeStatus =
                serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
            if wanted(&status) {
                return Ok(Instant::now());
            }
            ensure!(began.elapsed() < PATIENCE, "the agent heard only {status:?}");
            since = status.version;
        }
    }
}

/// True if this is what the fixture says that the agent is told: its state, and the signal that it is named after, or any of
/// its signals if it is named after who writes them.
fn shows(status: &NodeStatus, fixture: &SignalFixture) -> bool {
    let told =
        |name: &String| status.reasons.iter().chain(&status.hints).any(|reason| reason.signal == *name);
    let named = fixture.signals.iter().find(|signal| **signal == fixture.name);
    status.state == fixture.state && named.map_or_else(|| fixture.signals.iter().any(told), told)
}

/// True if nothing that it shows is told: what a well node has, and a silent kubelet's word, which only counts with others.
fn tells_nothing(fixture: &SignalFixture) -> bool {
    fixture.state == NodeState::Ready && fixture.signals.iter().all(|signal| signal == "kubelet-silent")
}

/// True if nothing is told of the node any more.
fn is_well(status: &NodeStatus) -> bool {
    status.state == NodeState::Ready && status.reasons.is_empty() && status.hints.is_empty()
}

#[test]
fn every_signal_is_heard_and_cleared_as_its_class_says() -> Result<()> {
    let cluster = Cluster::get()?;
    let fixtures = signal_fixture::all()?;
    let names: Vec<String> = fixtures.iter().map(|fixture| format!("node-of-{}", fixture.name)).collect();
    for name in &names {
        cluster.create(&TestNode::ready(name))?;
    }
    let mut table =
        Table::new("signals at a real API server: from the writer's first request to the agent's answer");
    let (mut heard, mut latched) = (Vec::new(), Vec::new());
    let was_absent = |name: &str| {
        let of = |fixture: &&SignalFixture| name == format!("node-of-{}", fixture.name);
        fixtures.iter().find(of).is_some_and(|fixture| fixture.signals.iter().any(|signal| signal == ABSENT))
    };
    for (fixture, name) in fixtures.iter().zip(&names) {
        table.case(&fixture.name, || {
            let api = cluster.plane.api();
            if tells_nothing(fixture) {
                fixture.apply(api, name)?;
                cluster.saw_all_until_now(name)?;
                ensure!(is_well(&cluster.controller.status(name)?), "something was told");
                return Ok("ready, nothing told".to_owned());
            }
            let after = cluster.heard(name, |status| shows(status, fixture), || fixture.apply(api, name))?;
            heard.push(after);
            let then = took_back(&cluster, fixture, name, &mut latched)?;
            Ok(format!("{} after {:.1} ms, {then}", fixture.state, milliseconds(after)))
        });
    }
    for (name, since) in latched {
        table.case(&format!("latch of {name}"), || {
            wait_for("the latch to let go", || {
                let status = cluster.controller.status(name).ok()?;
                let left =
                    if was_absent(name) { status.state == NodeState::Evicting } else { is_well(&status) };
                left.then_some(())
            })?;
            ensure!(since.elapsed() >= LATCH, "it let go after {:?}", since.elapsed());
            Ok("held for 30 s of good health".to_owned())
        });
    }
    table.finish()?;
    heard.sort();
    let (median, worst) = (heard[heard.len() / 2], heard[heard.len() - 1]);
    eprintln!(
        "heard by a waiting agent: median {:.1} ms, worst {:.1} ms",
        milliseconds(median),
        milliseconds(worst)
    );
    ensure!(median < HEARD_WITHIN, "median {median:?}");
    Ok(())
}

/// Takes the signal back, and says what came of it.
fn took_back<'a>(
    cluster: &Cluster,
    fixture: &SignalFixture,
    name: &'a str,
    latched: &mut Vec<(&'a str, Instant)>,
) -> Result<String> {
    let api = cluster.plane.api();
    if fixture.is_deleting() {
        let gone = |status: &NodeStatus| status.state == NodeState::Gone;
        let after = cluster.heard(name, gone, || fixture.take_back(api, name))?;
        return Ok(format!("gone {:.1} ms after its finalizer", milliseconds(after)));
    }
    if fixture.name == ABSENT {
        fixture.take_back(api, name)?;
        cluster.saw_all_until_now(name)?;
        ensure!(cluster.controller.status(name)?.state == NodeState::Evicting, "it was not remembered");
        return Ok("remembered".to_owned());
    }
    if fixture.state == NodeState::ShuttingDown {
        let since = fixture.take_back(api, name)?;
        cluster.saw_all_until_now(name)?;
        ensure!(cluster.controller.status(name)?.state == NodeState::ShuttingDown, "it did not latch");
        latched.push((name, since));
        return Ok("latched".to_owned());
    }
    let after = cluster.heard(name, is_well, || fixture.take_back(api, name))?;
    Ok(format!("cleared after {:.1} ms", milliseconds(after)))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[test]
fn a_cordon_by_kubectl_is_heard_and_cleared() -> Result<()> {
    let cluster = Cluster::with_node("cordoned")?;
    cluster.plane.kubectl(&["cordon", "cordoned"])?;
    cluster.controller.becomes("cordoned", NodeState::Cordoned)?;
    cluster.plane.kubectl(&["uncordon", "cordoned"])?;
    cluster.controller.becomes("cordoned", NodeState::Ready)
}

#[test]
fn a_shutdown_is_remembered_when_the_kubelet_goes_silent() -> Result<()> {
    let cluster = Cluster::with_node("remembered")?;
    cluster.plane.shut_down("remembered")?;
    cluster.controller.becomes("remembered", NodeState::ShuttingDown)?;
    let before = cluster.controller.status("remembered")?;
    cluster.plane.silence("remembered")?;
    cluster.saw_all_until_now("remembered")?;
    let after = cluster.controller.status("remembered")?;
    ensure!(after.state == NodeState::ShuttingDown && after.reasons == before.reasons, "{after:?}");
    Ok(())
}

#[test]
fn a_node_that_is_only_silent_is_not_shutting_down() -> Result<()> {
    let cluster = Cluster::with_node("silent")?;
    cluster.plane.silence("silent")?;
    cluster.saw_all_until_now("silent")?;
    ensure!(cluster.controller.status("silent")?.state == NodeState::Ready);
    Ok(())
}

#[test]
fn a_node_that_is_back_is_one_whose_pods_were_deleted_in_its_absence() -> Result<()> {
    let cluster = Cluster::with_node("flapping")?;
    cluster.plane.silence("flapping")?;
    let evicts = "node.kubernetes.io/unreachable:NoExecute";
    cluster.plane.kubectl(&["taint", "node", "flapping", evicts])?;
    cluster.controller.becomes("flapping", NodeState::Evicting)?;
    cluster.plane.be_well("flapping")?;
    cluster.plane.kubectl(&["taint", "node", "flapping", &format!("{evicts}-")])?;
    cluster.saw_all_until_now("flapping")?;
    let back = cluster.controller.status("flapping")?;
    ensure!(back.state == NodeState::Evicting && back.reasons[0].signal == ABSENT, "{back:?}");
    // Another boot of its machine has none of these pods.
    cluster.plane.patch_status("flapping", &json!({"nodeInfo": {"bootID": "second"}}))?;
    cluster.controller.becomes("flapping", NodeState::Ready)
}

#[test]
fn a_machine_that_was_booted_again_is_ready_at_once() -> Result<()> {
    let cluster = Cluster::with_node("rebooted")?;
    cluster.plane.shut_down("rebooted")?;
    cluster.controller.becomes("rebooted", NodeState::ShuttingDown)?;
    cluster.plane.silence("rebooted")?;
    // A kubelet posts the new boot's id with its first status, and is ready some seconds later.
    cluster.plane.patch_status("rebooted", &json!({"nodeInfo": {"bootID": "second"}}))?;
    cluster.saw_all_until_now("rebooted")?;
    ensure!(cluster.controller.status("rebooted")?.state == NodeState::ShuttingDown, "it is not ready yet");
    let after = cluster.heard("rebooted", is_well, || {
        let sent = Instant::now();
        cluster.plane.be_well("rebooted").map(|_| sent)
    })?;
    ensure!(after < LATCH, "it was latched for {after:?}");
    Ok(())
}

#[test]
fn a_node_that_was_created_again_is_another() -> Result<()> {
    let cluster = Cluster::with_node("recreated")?;
    cluster.plane.shut_down("recreated")?;
    cluster.controller.becomes("recreated", NodeState::ShuttingDown)?;
    cluster.plane.api().delete("/api/v1/nodes/recreated")?;
    cluster.controller.becomes("recreated", NodeState::Gone)?;
    cluster.create(&TestNode::ready("recreated"))
}

#[test]
fn a_node_that_was_created_again_unseen_is_another() -> Result<()> {
    let cluster = Cluster::with_node("unseen")?;
    cluster.plane.shut_down("unseen")?;
    cluster.controller.becomes("unseen", NodeState::ShuttingDown)?;
    cluster.plane.kubectl(&["delete", "node", "unseen"])?;
    cluster.create(&TestNode::ready("unseen"))
}

#[test]
fn a_restarted_kubelet_that_forgets_the_shutdown_does_not_make_the_controller_forget() -> Result<()> {
    let cluster = Cluster::with_node("forgetful")?;
    cluster.plane.shut_down("forgetful")?;
    cluster.controller.becomes("forgetful", NodeState::ShuttingDown)?;
    cluster.plane.be_well("forgetful")?;
    cluster.saw_all_until_now("forgetful")?;
    ensure!(cluster.controller.status("forgetful")?.state == NodeState::ShuttingDown);
    Ok(())
}
