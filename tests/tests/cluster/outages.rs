//! The controller or the API server is away while a pod needs them.

use anyhow::{Result, ensure};
use crik_tests::cluster::Workload;
use crik_tests::http::get;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{Turn, logs, node_of, preempt, turn};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

#[test]
fn the_controllers_pods_are_deleted_while_a_pod_is_preempted() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("nobody")?;
    space.apply(&Workload::new("job", &COMMAND).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for_lines(40)?;
    controllers(&turn, &["delete", "pods", "--all", "--grace-period=1", "--wait=false"])?;
    preempt(&space, &pod)?;
    let before = before.whole()?;
    // Whoever of them was there last, or nobody.
    let known = format!("a checkpoint is taken: node {} is cordoned", node_of(&pod)?);
    let unknown = before.contains("a checkpoint is taken: ") && before.contains("; onUnknown is checkpoint");
    ensure!(before.contains(&known) || unknown, "{before}");
    logs(&space, "job-0", "restored generation 00000001")?;
    controllers(&turn, &ROLLOUT)?;
    space.held()
}

#[test]
fn an_agent_finds_the_controllers_that_came_after_those_that_it_followed() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("others")?;
    // Whoever finds nobody takes no checkpoint.
    let workload = Workload::new("job", &COMMAND).config("onUnknown: terminate");
    space.apply(&workload.stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for_lines(40)?;
    // It returns when all of them are gone.
    controllers(&turn, &["delete", "pods", "--all", "--grace-period=1"])?;
    controllers(&turn, &ROLLOUT)?;
    preempt(&space, &pod)?;
    let before = before.whole()?;
    let decision = format!("a checkpoint is taken: node {} is cordoned", node_of(&pod)?);
    ensure!(before.contains(&decision), "{decision:?} is not in\n{before}");
    logs(&space, "job-0", "restored generation 00000001")?;
    space.held()
}

pub const ROLLOUT: [&str; 4] = ["rollout", "status", "deployment/crik-controller", "--timeout=60s"];

/// Runs kubectl in the controller's namespace.
pub fn controllers(turn: &Turn, args: &[&str]) -> Result<()> {
    turn.cluster.kubectl(&[&["--namespace", "crik"], args].concat()).map(drop)
}

#[test]
fn the_api_server_is_away_while_a_pod_is_preempted() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("away")?;
    space.apply(&Workload::new("job", &COMMAND).stateful_set(1))?;
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for_lines(40)?;
    let name = node_of(&pod)?;
    let node = turn.cluster.node(&name)?;
    let volume = space.volume("job")?;
    let controllers = addresses(&turn)?;
    turn.cluster.plane().server().signal(Signal::SIGSTOP)?;
    // A server that is silent is noticed some time later than one that is gone; until then what it last said holds.
    let noticed = wait_for("the controller to notice", || {
        controllers.iter().all(|address| is_stale(address, &name)).then_some(())
    });
    // Logind tells the kubelet, which can tell nobody; the agent learns nothing and takes a checkpoint.
    let told = node.prepare_for_shutdown();
    let manifest = volume.join("job-0/generations/00000001/manifest.json");
    let durable = wait_for("a generation on the volume", || manifest.exists().then_some(()));
    turn.cluster.plane().server().signal(Signal::SIGCONT)?;
    noticed?;
    told?;
    durable?;
    wait_for("the kubelet to let the machine go", || {
        node.shutdown_is_delayed().is_ok_and(|delayed| !delayed).then_some(())
    })?;
    node.kill();
    turn.cluster.kubectl(&["delete", "node", &name])?;
    let successor = space.running("job-0", Some(&pod))?;
    ensure!(node_of(&successor)? != name);
    logs(&space, "job-0", "restored generation 00000001")?;
    space.held()
}

/// Where the controller's pods listen; this machine has routes to them.
pub fn addresses(turn: &Turn) -> Result<Vec<String>> {
    let pods = ["--namespace", "crik", "get", "pods", "--output", "jsonpath={.items[*].status.podIP}"];
    Ok(turn.cluster.kubectl(&pods)?.split_whitespace().map(|ip| format!("http://{ip}:9376")).collect())
}

/// True if the controller says that what it knows of a node may be old.
fn is_stale(controller: &str, node: &str) -> bool {
    let answer = get(&format!("{controller}/v1/nodes/{node}")).ok();
    let status = answer.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
    status.is_some_and(|status| status["stale"] == true)
}
