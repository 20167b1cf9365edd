//! The Event on a Node that shuts down: one for each shutdown, however many controllers see it and however often.

use anyhow::{Context as _, Result, ensure};
use crik_api::NodeState;
use crik_tests::control_plane::ControlPlane;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

/// A control plane with the node `a`, and a kubeconfig of the controller.
struct Cluster {
    plane: ControlPlane,
    kubeconfig: std::path::PathBuf,
}

impl Cluster {
    fn new() -> Result<Self> {
        let plane = ControlPlane::start()?;
        plane.create_node(&TestNode::ready("a"))?;
        let kubeconfig = plane.kubeconfig_of(plane.create_controllers_identity()?)?;
        Ok(Self { plane, kubeconfig })
    }

    fn controller(&self, flags: &[&str]) -> Result<Controller> {
        let controller = Controller::watching(&self.kubeconfig, flags)?;
        controller.becomes("a", NodeState::Ready)?;
        Ok(controller)
    }

    /// What `kubectl describe node` would list.
    fn events(&self, node: &str) -> Result<Vec<Value>> {
        let list = self.plane.api().get("/api/v1/namespaces/default/events")?;
        let items = list["items"].as_array().context("no list")?.iter();
        Ok(items.filter(|event| event["involvedObject"]["name"] == node).cloned().collect())
    }

    fn has_events(&self, node: &str, reasons: &[&str]) -> Result<Vec<Value>> {
        let told = || {
            let mut events = self.events(node).ok()?;
            events.sort_by_key(|event| event["reason"].to_string());
            let found: Vec<&str> = events.iter().filter_map(|event| event["reason"].as_str()).collect();
            (found == reasons).then_some(events)
        };
        wait_for(&format!("the Events {reasons:?}"), told).with_context(|| format!("{:?}", self.events(node)))
    }

    /// Another node's Event, which comes after all that a controller had to tell before.
    fn told_all_until_now(&self, marker: &str) -> Result<()> {
        self.plane.create_node(&TestNode::ready(marker))?;
        self.plane.shut_down(marker)?;
        self.has_events(marker, &["NodeShuttingDown"]).map(drop)
    }
}

#[test]
fn a_shutdown_is_told_once_and_its_end_once() -> Result<()> {
    let cluster = Cluster::new()?;
    let controller = cluster.controller(&[])?;
    cluster.plane.shut_down("a")?;
    let events = cluster.has_events("a", &["NodeShuttingDown"])?;
    ensure!(
        events[0]["type"] == "Warning" && events[0]["message"].to_string().contains("node is shutting down")
    );
    let node = cluster.plane.api().get("/api/v1/nodes/a")?;
    ensure!(
        events[0]["involvedObject"]["uid"] == node["metadata"]["uid"],
        "kubectl describe does not find it"
    );
    cluster.plane.silence("a")?;
    cluster.plane.patch_status("a", &json!({"nodeInfo": {"bootID": "second"}}))?;
    cluster.plane.be_well("a")?;
    controller.becomes("a", NodeState::Ready)?;
    cluster.told_all_until_now("marker")?;
    cluster.has_events("a", &["NodeShutdownOver", "NodeShuttingDown"])?;
    let described = cluster.plane.kubectl(&["describe", "node", "a"])?;
    ensure!(described.contains("NodeShuttingDown"), "{described}");
    Ok(())
}

#[test]
fn a_restart_does_not_tell_it_again() -> Result<()> {
    let cluster = Cluster::new()?;
    let mut controller = cluster.controller(&[])?;
    cluster.plane.shut_down("a")?;
    let before = cluster.has_events("a", &["NodeShuttingDown"])?;
    controller.restart()?;
    controller.becomes("a", NodeState::ShuttingDown)?;
    cluster.told_all_until_now("marker")?;
    let after = cluster.has_events("a", &["NodeShuttingDown"])?;
    ensure!(before == after, "the Event was written again: {before:?} {after:?}");
    Ok(())
}

#[test]
fn two_replicas_tell_it_once() -> Result<()> {
    let cluster = Cluster::new()?;
    let controllers = [cluster.controller(&[])?, cluster.controller(&[])?];
    cluster.plane.shut_down("a")?;
    for controller in &controllers {
        controller.becomes("a", NodeState::ShuttingDown)?;
    }
    cluster.told_all_until_now("marker")?;
    cluster.has_events("a", &["NodeShuttingDown"])?;
    Ok(())
}

/// What `kubectl get events` shows as its count. Takes as long as a node must be well before it is let go.
#[test]
fn what_happens_again_in_the_same_boot_is_counted_once_by_all_replicas() -> Result<()> {
    let cluster = Cluster::new()?;
    let controllers = [cluster.controller(&[])?, cluster.controller(&[])?];
    cluster.plane.shut_down("a")?;
    ensure!(cluster.has_events("a", &["NodeShuttingDown"])?[0]["count"] == 1);
    cluster.plane.be_well("a")?;
    controllers.iter().try_for_each(|controller| controller.becomes("a", NodeState::Ready))?;
    cluster.plane.shut_down("a")?;
    controllers.iter().try_for_each(|controller| controller.becomes("a", NodeState::ShuttingDown))?;
    cluster.told_all_until_now("marker")?;
    for controller in &controllers {
        wait_for("both to have told it", || {
            let of = |result| {
                controller.metric(&format!("crik_events_total{{result=\"{result}\"}}")).unwrap_or_default()
            };
            (of("written") + of("repeated") >= 4.0).then_some(())
        })?;
    }
    let events = cluster.has_events("a", &["NodeShutdownOver", "NodeShuttingDown"])?;
    let counts: Vec<&Value> = events.iter().map(|event| &event["count"]).collect();
    ensure!(counts == [1, 2], "{events:?}");
    let (first, last) = (&events[1]["firstTimestamp"], &events[1]["lastTimestamp"]);
    ensure!(first.as_str() < last.as_str(), "{first} {last}");
    Ok(())
}

#[test]
fn it_can_be_turned_off() -> Result<()> {
    let cluster = Cluster::new()?;
    let silent = cluster.controller(&["--events=false"])?;
    cluster.plane.shut_down("a")?;
    silent.becomes("a", NodeState::ShuttingDown)?;
    // One that tells, and knows of the shutdown no more than that it was there before.
    cluster.plane.api().delete("/api/v1/nodes/a")?;
    silent.becomes("a", NodeState::Gone)?;
    let telling = Controller::watching(&cluster.kubeconfig, &[])?;
    cluster.told_all_until_now("marker")?;
    silent.becomes("marker", NodeState::ShuttingDown)?;
    ensure!(cluster.events("a")?.is_empty(), "{:?}\n{}", cluster.events("a")?, telling.log());
    Ok(())
}

#[test]
fn a_right_to_write_them_that_is_missing_is_named_and_does_no_harm() -> Result<()> {
    let cluster = Cluster::new()?;
    cluster.plane.forbid_events()?;
    let controller = cluster.controller(&[])?;
    cluster.plane.shut_down("a")?;
    controller.becomes("a", NodeState::ShuttingDown)?;
    controller.logs("cannot create resource")?;
    controller.logs("--events=false")?;
    controller.metric_becomes("crik_events_total{result=\"failed\"}", 1.0)?;
    cluster.plane.be_well("a")?;
    ensure!(!controller.status("a")?.stale, "what cannot be told makes the state stale");
    Ok(())
}
