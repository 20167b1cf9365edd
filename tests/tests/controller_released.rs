//! Programs that were released earlier, which go on when the controller is upgraded: the Go agent, and agents and dashboards of 0.1.0.

use std::io::{BufRead, BufReader};

use anyhow::{Context as _, Result, ensure};
use crik_tests::controller::released::{
    ErrorBody, GoNode, NodeList, NodeState, NodeStatus, PodState, PodStatus,
};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::http::{get, post, stream};
use serde::de::DeserializeOwned;
use serde_json::json;

/// A node in each state that a look at its object gives, and in which words it is read.
fn nodes() -> Vec<(TestNode, NodeState, &'static str)> {
    let node = TestNode::ready;
    vec![
        (node("well"), NodeState::Ready, "unknown"),
        (node("cordoned").cordoned(), NodeState::Cordoned, "shutting-down"),
        (
            node("draining").tainted("ToBeDeletedByClusterAutoscaler", "NoSchedule"),
            NodeState::Draining,
            "shutting-down",
        ),
        // Later than 0.1.0: `onUnknown` decides, which means a checkpoint unless somebody wants it otherwise.
        (
            node("evicting").tainted("node.kubernetes.io/not-ready", "NoExecute"),
            NodeState::Unknown,
            "shutting-down",
        ),
        (node("off").shutting_down(), NodeState::ShuttingDown, "shutting-down"),
    ]
}

const NAMES: [&str; 5] = ["well", "cordoned", "draining", "evicting", "off"];

fn controller() -> Result<Controller> {
    Controller::start(&nodes().into_iter().map(|(node, ..)| node).collect::<Vec<_>>())
}

fn read<Answer: DeserializeOwned>(controller: &Controller, path: &str) -> Result<Answer> {
    let answer = get(&controller.url(path))?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
    ensure!(answer.header("content-type").starts_with("application/json"), "{path}");
    Ok(serde_json::from_str(&answer.body)?)
}

#[test]
fn the_go_agent_reads_its_two_words() -> Result<()> {
    let controller = controller()?;
    let known = nodes().into_iter().map(|(_, _, word)| word).zip(NAMES);
    for (word, name) in known.chain([("unknown", "never-seen")]) {
        let told: GoNode = read(&controller, &format!("/nodes/{name}"))?;
        ensure!(told == GoNode { name: name.to_owned(), state: word.to_owned() }, "{told:?}");
    }
    Ok(())
}

#[test]
fn an_agent_of_0_1_0_reads_each_state_and_takes_a_later_one_for_unknown() -> Result<()> {
    let controller = controller()?;
    for ((_, state, _), name) in nodes().into_iter().zip(NAMES) {
        let told: NodeStatus = read(&controller, &format!("/v1/nodes/{name}"))?;
        ensure!(told.state == state && !told.stale && !told.version.is_empty(), "{told:?}");
        let waited: NodeStatus =
            read(&controller, &format!("/v1/nodes/{name}?wait=10ms&since={}", told.version))?;
        ensure!(waited == told, "{waited:?} {told:?}");
    }
    Ok(())
}

#[test]
fn a_dashboard_of_0_1_0_reads_the_list_and_the_stream() -> Result<()> {
    let controller = controller()?;
    let list: NodeList = read(&controller, "/v1/nodes")?;
    ensure!(list.nodes.len() == NAMES.len(), "{list:?}");
    let lines = BufReader::new(stream(&controller.url("/v1/events"))?).lines();
    let mut data = lines.filter_map(|line| line.ok()?.strip_prefix("data: ").map(str::to_owned));
    let snapshot: NodeList = serde_json::from_str(&data.next().context("no snapshot")?)?;
    ensure!(snapshot == list, "{snapshot:?} {list:?}");
    controller.set_nodes(&[TestNode::ready("well").shutting_down()])?;
    let changed: NodeStatus = serde_json::from_str(&data.next().context("no change")?)?;
    ensure!(matches!(changed.state, NodeState::Gone | NodeState::ShuttingDown), "{changed:?}");
    Ok(())
}

#[test]
fn an_agent_of_0_1_0_reads_why_it_is_refused() -> Result<()> {
    let controller = Controller::start_with("kind: [")?;
    for answer in [
        get(&controller.url("/v1/nodes/a?wait=1s"))?,
        get(&controller.url("/nodes/a"))?,
        get(&controller.url("/v1/nodes/A"))?,
        get(&controller.url("/v1/pods/default/a"))?,
        post(&controller.url("/v1/nodes/a"))?,
    ] {
        let read: ErrorBody = serde_json::from_str(&answer.body)?;
        ensure!(answer.status >= 400 && read.error.len() > 10, "{} {read:?}", answer.status);
    }
    Ok(())
}

/// A real Pod's are read in controller_pods; this is what its types make of them.
#[test]
fn an_agent_of_0_1_0_reads_what_is_told_of_a_pod() -> Result<()> {
    let told = crik_api::PodStatus {
        namespace: "n".to_owned(),
        name: "a".to_owned(),
        uid: "u".to_owned(),
        state: crik_api::PodState::Disrupted,
        reasons: vec![crik_api::Reason { signal: "api-eviction".to_owned(), observed: "o".to_owned() }],
        deletion_grace_seconds: Some(5),
        deletion_grace_used_seconds: None,
    };
    let read: PodStatus = serde_json::from_value(serde_json::to_value(&told)?)?;
    ensure!(read.state == PodState::Disrupted && read.deletion_grace_seconds == Some(5), "{read:?}");
    let later: PodStatus = serde_json::from_value(json!({"namespace": "n", "name": "a", "state": "paused"}))?;
    ensure!(later.state == PodState::Unknown, "{later:?}");
    Ok(())
}
