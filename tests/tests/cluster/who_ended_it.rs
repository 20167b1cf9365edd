//! Pods that are told to stop on a node that is well, by their owner and by others.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{Cluster, Follower, Space, Workload};
use serde_json::{Value, json};

use crate::drains::evict;
use crate::{logs, node_of, turn, whole_lines};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

/// A StatefulSet's pod, changed, that has made some steps and has a checkpoint; and what comes out of it.
fn begun(space: &Space, change: impl FnOnce(&mut Value)) -> Result<(Value, Follower)> {
    space.apply(&Workload::new("job", &COMMAND).config("interval: 2s").with(change).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let follower = space.follow("job-0")?;
    follower.output.wait_for("generation 00000001 is durable")?;
    follower.output.wait_for_lines(40)?;
    Ok((pod, follower))
}

/// What fits on each node once.
fn more_than_half_of_a_node(cluster: &Cluster) -> Result<Value> {
    let path = "jsonpath={.items[0].status.allocatable.cpu}";
    let processors: f64 = cluster.kubectl(&["get", "nodes", "--output", path])?.parse()?;
    let request = format!("{}m", (processors * 600.0) as u64);
    Ok(json!({"requests": {"cpu": request}}))
}

/// More important than what has none; gone when this is dropped.
struct PriorityClass<'a> {
    cluster: &'a Cluster,
    name: &'static str,
}

impl<'a> PriorityClass<'a> {
    fn new(cluster: &'a Cluster, name: &'static str) -> Result<Self> {
        cluster.kubectl(&["create", "priorityclass", name, "--value=1000"])?;
        Ok(Self { cluster, name })
    }
}

impl Drop for PriorityClass<'_> {
    fn drop(&mut self) {
        let _ = self.cluster.kubectl(&["delete", "priorityclass", self.name]);
    }
}

/// Expects that the pod's successor goes on with the very next step, after a checkpoint for this reason.
fn goes_on(space: &Space, pod: &Value, said: Follower, signal: &str) -> Result<Value> {
    let successor = space.running("job-0", Some(pod))?;
    let said = said.whole()?;
    let decision = format!("a checkpoint is taken: the pod is disrupted ({signal})");
    ensure!(said.contains(&decision), "{decision:?} is not in\n{said}");
    logs(space, "job-0", "restored generation")?;
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(40)?;
    chain::verify(&[said, whole_lines(&after.output.text())])?;
    Ok(successor)
}

#[test]
fn an_eviction_from_a_node_that_is_well_costs_nothing() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("evicted")?;
    let (pod, said) = begun(&space, |_| {})?;
    evict(&space, "job-0")?;
    goes_on(&space, &pod, said, "api-eviction")?;
    space.held()
}

#[test]
fn a_taint_that_the_pod_does_not_tolerate_costs_nothing() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("tainted")?;
    let (pod, said) = begun(&space, |_| {})?;
    let node = node_of(&pod)?;
    turn.cluster.kubectl(&["taint", "node", &node, "example.com/maintenance=now:NoExecute"])?;
    let successor = goes_on(&space, &pod, said, "taint-eviction")?;
    ensure!(node_of(&successor)? != node, "it is still on {node}");
    space.held()
}

#[test]
fn a_pod_that_has_to_make_room_for_a_more_important_one_goes_on() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("preempted")?;
    let large = more_than_half_of_a_node(&turn.cluster)?;
    let (pod, said) = begun(&space, |pod| pod["containers"][0]["resources"] = large.clone())?;
    let node = node_of(&pod)?;
    let class = PriorityClass::new(&turn.cluster, "crik-tests-important")?;
    let important = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "important"},
        "spec": {
            "priorityClassName": class.name,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [{"name": "app", "image": "programs:1", "command": ["sleep", "600"],
                            "resources": large}],
            "terminationGracePeriodSeconds": 0,
        },
    });
    space.apply(&important.to_string())?;
    let successor = goes_on(&space, &pod, said, "scheduler-preemption")?;
    ensure!(node_of(&successor)? != node, "it is still on {node}");
    space.held()
}

#[test]
fn a_drain_with_a_grace_period_of_its_own_is_known() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("hurried")?;
    let (pod, said) = begun(&space, |_| {})?;
    let node = node_of(&pod)?;
    turn.cluster.kubectl(&["drain", &node, "--pod-selector=app=job", "--grace-period=5", "--timeout=60s"])?;
    let successor = space.running("job-0", Some(&pod))?;
    ensure!(node_of(&successor)? != node, "it is still on {node}");
    let said = said.whole()?;
    ensure!(said.contains("the pod has 5s, less than gracePeriod"), "{said}");
    logs(&space, "job-0", "restored generation")?;
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(40)?;
    chain::verify(&[said, whole_lines(&after.output.text())])?;
    space.held()
}

#[test]
fn what_its_owner_deletes_starts_fresh_whatever_was_checkpointed() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("owner")?;
    let (pod, said) = begun(&space, |_| {})?;
    space.kubectl(&["delete", "pod", "job-0"])?;
    let said = said.whole()?;
    ensure!(said.contains("the pod is deleted (deletion)") && said.contains("goodbye"), "{said}");
    space.running("job-0", Some(&pod))?;
    let log = logs(&space, "job-0", "the application starts fresh")?;
    ensure!(log.contains("are not resumed"), "{log}");
    space.held()
}
