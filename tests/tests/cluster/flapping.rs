//! A node whose kubelet falls silent and is back before anybody has made sure that the machine is gone.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{Cluster, Node, Workload};
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::outages::{ROLLOUT, controllers};
use crate::{Turn, logs, node_of, turn, whole_lines};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

/// What its node must be for a pod not to be deleted.
const HEARD_OF: &str = "node.kubernetes.io/unreachable";

/// A kubelet that says and does nothing until this is dropped.
struct Silent<'a>(&'a Node);

impl<'a> Silent<'a> {
    fn new(node: &'a Node) -> Result<Self> {
        node.signal_kubelet(Signal::SIGSTOP)?;
        Ok(Self(node))
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = self.0.signal_kubelet(Signal::SIGCONT);
    }
}

/// The controllers hold a node for cordoned for five minutes after this. When this is dropped there are others, who know nothing of it, as
/// the next test wants it.
struct Remembered<'a>(&'a Turn);

impl Drop for Remembered<'_> {
    fn drop(&mut self) {
        let replaced = controllers(self.0, &["delete", "pods", "--all", "--grace-period=1"]);
        if let Err(error) = replaced.and_then(|()| controllers(self.0, &ROLLOUT)) {
            eprintln!("{error:#}");
        }
    }
}

/// Waits for what the cluster says of a node's readiness.
fn wait_until_ready_is(cluster: &Cluster, node: &str, status: &str) -> Result<()> {
    let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    wait_for(&format!("{node} to be ready: {status}"), || {
        (cluster.kubectl(&["get", "node", node, "--output", path]).ok()? == status).then_some(())
    })
}

#[test]
fn a_kubelet_that_flaps_costs_nothing_whether_the_pod_may_stay_or_not() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("flapping")?;
    // By default it would be five minutes.
    let impatient =
        json!([{"key": HEARD_OF, "effect": "NoExecute", "operator": "Exists", "tolerationSeconds": 1}]);
    let goes = Workload::new("goes", &COMMAND).with(|pod| pod["tolerations"] = impatient);
    space.apply(&goes.stateful_set(1))?;
    let pod = space.running("goes-0", None)?;
    let name = node_of(&pod)?;
    let selector = json!({"kubernetes.io/hostname": name});
    let stays = Workload::new("stays", &COMMAND).with(|pod| pod["nodeSelector"] = selector);
    space.apply(&stays.stateful_set(1))?;
    let staying = space.running("stays-0", None)?;
    let [before, stayed] = [space.follow("goes-0")?, space.follow("stays-0")?];
    [&before, &stayed].iter().try_for_each(|said| said.output.wait_for_lines(40))?;

    let _remembered = Remembered(&turn);
    let silent = Silent::new(turn.cluster.node(&name)?)?;
    // Kubernetes' default for it is 50 s (`--node-monitor-grace-period`), and this waits for a minute.
    let silence = || wait_until_ready_is(&turn.cluster, &name, "Unknown");
    silence().or_else(|_| silence())?;
    wait_for("the pod to be deleted", || {
        space.get("pod", "goes-0").ok()?["metadata"]["deletionTimestamp"].is_string().then_some(())
    })?;
    drop(silent);
    wait_until_ready_is(&turn.cluster, &name, "True")?;

    // Deleted by nobody's wish, it goes on elsewhere.
    let successor = space.running("goes-0", Some(&pod))?;
    ensure!(node_of(&successor)? != name, "it is still on {name}");
    let before = before.whole()?;
    ensure!(before.contains("a checkpoint is taken: "), "{before}");
    logs(&space, "goes-0", "restored generation 00000001")?;
    let after = space.follow("goes-0")?;
    after.output.wait_for_lines(40)?;
    chain::verify(&[before, whole_lines(&after.output.text())])?;
    // Whom nobody deletes is not even told to stop.
    let lines = stayed.output.text().lines().count();
    stayed.output.wait_for_lines(lines + 40)?;
    let stayed = whole_lines(&stayed.output.text());
    ensure!(!stayed.contains("a checkpoint is taken") && !stayed.contains("goodbye"), "{stayed}");
    chain::verify(&[stayed])?;
    same_container(&staying, &space.get("pod", "stays-0")?)?;
    space.held()
}

fn same_container(before: &Value, after: &Value) -> Result<()> {
    let container = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    ensure!(container(before) == container(after), "{before}\n{after}");
    Ok(())
}
