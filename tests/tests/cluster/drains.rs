//! Nodes that are drained, and pods that are stopped for other reasons.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{Follower, Space, Workload};
use crik_tests::http::get;
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::outages::addresses;
use crate::{Turn, logs, node_of, turn, whole_lines};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

/// A StatefulSet's pod that has made some steps; and what comes out of it.
fn begun(space: &Space) -> Result<(Value, Follower)> {
    space.apply(&Workload::new("job", &COMMAND).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let follower = space.follow("job-0")?;
    follower.output.wait_for_lines(40)?;
    Ok((pod, follower))
}

/// Expects that the pod's successor goes on with the very next step, after a decision for the state of the pod's node.
fn goes_on(space: &Space, pod: &Value, said: Follower, state: &str) -> Result<()> {
    let successor = space.running("job-0", Some(pod))?;
    let node = node_of(pod)?;
    ensure!(node_of(&successor)? != node, "it is still on {node}");
    let said = said.whole()?;
    let decision = format!("a checkpoint is taken: node {node} is {state}");
    ensure!(said.contains(&decision), "{decision:?} is not in\n{said}");
    logs(space, "job-0", "restored generation 00000001")?;
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(40)?;
    chain::verify(&[said, whole_lines(&after.output.text())])?;
    space.held()
}

#[test]
fn kubectl_drain() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("drained")?;
    let (pod, said) = begun(&space)?;
    let before = boot(&space, "job-0")?;
    let only_ours = "--pod-selector=app=job";
    turn.cluster.kubectl(&["drain", &node_of(&pod)?, only_ours, "--timeout=60s"])?;
    goes_on(&space, &pod, said, "cordoned")?;
    // The next pod is on another node in every respect.
    let after = boot(&space, "job-0")?;
    ensure!(before.0 != after.0 && (before.1 - after.1).abs() > 20.0 * 3600.0, "{before:?} and {after:?}");
    Ok(())
}

/// What a pod sees of its node: the boot id, and for how many seconds it has been up.
fn boot(space: &Space, pod: &str) -> Result<(String, f64)> {
    let files = ["/proc/sys/kernel/random/boot_id", "/proc/uptime"];
    let seen = space.kubectl(&["exec", pod, "--", "cat", files[0], files[1]])?;
    let mut words = seen.split_whitespace();
    let id = words.next().context("no boot id")?.to_owned();
    Ok((id, words.next().context("no uptime")?.parse()?))
}

fn evicted_after(turn: &Turn, about: &str, taint: &str, state: &str) -> Result<()> {
    let space = turn.space(about)?;
    let (pod, said) = begun(&space)?;
    let node = node_of(&pod)?;
    turn.cluster.kubectl(&["taint", "node", &node, taint])?;
    // Who drains a node does not evict within milliseconds; then the eviction itself may be the first reason that is known.
    let controllers = addresses(turn)?;
    wait_for("the controllers to see the taint", || {
        controllers.iter().all(|address| is(address, &node, state)).then_some(())
    })?;
    evict(&space, "job-0")?;
    goes_on(&space, &pod, said, state)
}

/// Whether the controller says of a node that it is in this state.
fn is(controller: &str, node: &str, state: &str) -> bool {
    let answer = get(&format!("{controller}/v1/nodes/{node}")).ok();
    let status = answer.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
    status.is_some_and(|status| status["state"] == state)
}

/// By the eviction API, as those who drain nodes do.
pub fn evict(space: &Space, pod: &str) -> Result<()> {
    let metadata = json!({"name": pod, "namespace": space.name()});
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata});
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", space.name());
    space.cluster().plane().api().create(&path, &eviction).map(drop)
}

#[test]
fn the_cluster_autoscalers_taint_and_then_an_eviction() -> Result<()> {
    let taint = "ToBeDeletedByClusterAutoscaler=1795553000:NoSchedule";
    evicted_after(&turn()?, "autoscaler", taint, "draining")
}

#[test]
fn karpenters_taint_and_then_an_eviction() -> Result<()> {
    evicted_after(&turn()?, "karpenter", "karpenter.sh/disrupted:NoSchedule", "draining")
}

/// Expects that the program got its SIGTERM, and that no checkpoint was taken.
fn stops_in_order(said: Follower) -> Result<()> {
    let said = said.whole()?;
    ensure!(said.contains("goodbye") && !said.contains("a checkpoint is taken"), "{said}");
    Ok(())
}

#[test]
fn a_pod_that_is_deleted_on_a_node_that_is_well_stops_as_without_crik() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("deleted")?;
    let (pod, said) = begun(&space)?;
    space.kubectl(&["delete", "pod", "job-0"])?;
    stops_in_order(said)?;
    space.running("job-0", Some(&pod))?;
    logs(&space, "job-0", "the application starts fresh")?;
    space.held()
}

#[test]
fn a_rolling_update_to_a_new_image_stops_in_order_and_starts_fresh() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("update")?;
    let (pod, said) = begun(&space)?;
    space.kubectl(&["set", "image", "statefulset/job", "app=programs:2"])?;
    let successor = space.running("job-0", Some(&pod))?;
    ensure!(successor["spec"]["containers"][0]["image"] == "programs:2");
    stops_in_order(said)?;
    logs(&space, "job-0", "the application starts fresh")?;
    space.held()
}
