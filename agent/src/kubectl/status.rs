//! `kubectl crik status`: the nodes, the pods under crik on each, and what of them is at risk.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stdout};
use std::thread::sleep;

use anyhow::Result;
use serde::Serialize;

use super::args::Status;
use super::client::{Client, KubectlError};
use super::list::Told;
use super::node::Node;
use super::pod::Pod;
use super::risk;
use crate::base::limits;
use crate::base::output::print;
use crate::base::table::table;

/// Clears a terminal, and begins at its top (console_codes(4)).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    nodes: Vec<OnNode>,
    /// Nodes that are well and have no pod under crik.
    others: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OnNode {
    node: Option<String>,
    state: String,
    pods: Vec<AtRisk>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AtRisk {
    #[serde(flatten)]
    told: Told,
    at_risk: Option<String>,
}

/// Prints them, once or until somebody interrupts.
///
/// # Errors
/// The API server does not answer.
pub fn status(client: &Client, args: &Status) -> Result<()> {
    if !args.watch {
        return print(args.output, &look(client, args)?, told);
    }
    loop {
        match look(client, args) {
            Ok(seen) => {
                if stdout().is_terminal() {
                    print!("{CLEAR}");
                }
                print(args.output, &seen, told)?;
            }
            // Whoever watches an upgrade watches on after it.
            Err(error) if error.may_pass() => eprintln!("kubectl crik: {error}"),
            Err(error) => return Err(error.into()),
        }
        sleep(limits::KUBECTL_WATCH_PAUSE);
    }
}

fn look(client: &Client, args: &Status) -> Result<Seen, KubectlError> {
    let nodes: Vec<Node> = client.list("nodes", &[])?.into_iter().map(Node::from).collect();
    Ok(seen(&nodes, &Pod::all(client, &args.chosen)?))
}

fn seen(nodes: &[Node], pods: &[Pod]) -> Seen {
    let by_name: BTreeMap<&str, &Node> = nodes.iter().map(|node| (node.name(), node)).collect();
    let mut on: BTreeMap<Option<&str>, Vec<AtRisk>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| !node.is_well()) {
        on.entry(Some(node.name())).or_default();
    }
    for pod in pods {
        let told = Told::of(pod);
        let node = pod.node().map(|name| by_name.get(name).copied());
        let at_risk = node.and_then(|node| risk::of(pod, &told, node)).filter(|_| pod.runs());
        on.entry(pod.node()).or_default().push(AtRisk { told, at_risk });
    }
    let others = nodes.iter().filter(|node| !on.contains_key(&Some(node.name()))).count();
    let state = |name: Option<&str>| match name {
        None => "-".to_owned(),
        Some(name) => by_name.get(name).map_or_else(|| "gone".to_owned(), |node| node.told()),
    };
    let of =
        |(name, pods): (Option<&str>, _)| OnNode { node: name.map(str::to_owned), state: state(name), pods };
    Seen { nodes: on.into_iter().map(of).collect(), others }
}

fn told(seen: &Seen) -> String {
    let others = match seen.others {
        0 => String::new(),
        1 => "1 more node is well and has no pod here that is under crik\n".to_owned(),
        some => format!("{some} more nodes are well and have no pod here that is under crik\n"),
    };
    let rows: Vec<Vec<String>> = seen.nodes.iter().flat_map(rows).collect();
    if rows.is_empty() {
        return others;
    }
    let headings =
        ["NODE", "STATE", "NAMESPACE", "POD", "STATUS", "PROTECTED", "CHECKPOINT>", "AGE>", "AT RISK"];
    table(&headings, rows) + &others
}

fn rows(on: &OnNode) -> Vec<Vec<String>> {
    let node = [on.node.clone().unwrap_or_else(|| "-".to_owned()), on.state.clone()];
    if on.pods.is_empty() {
        return vec![node.into_iter().chain(["-"; 7].map(str::to_owned)).collect()];
    }
    on.pods.iter().map(|pod| node.iter().cloned().chain(cells(pod)).collect()).collect()
}

fn cells(pod: &AtRisk) -> Vec<String> {
    let AtRisk { told, at_risk } = pod;
    let [generation, age, _] = told.checkpoint();
    vec![
        told.namespace.clone(),
        told.pod.clone(),
        told.status.clone(),
        told.word().to_owned(),
        generation,
        age,
        at_risk.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{node, pod};
    use super::*;

    #[test]
    fn each_node_is_shown_with_its_pods_and_what_is_at_risk() {
        let mut cordoned = node::fixture::node("node-a");
        cordoned["spec"]["unschedulable"] = json!(true);
        let nodes = [cordoned, node::fixture::node("node-b"), node::fixture::node("node-c")].map(Node::from);
        let mut other = pod::fixture::pod(&[]);
        other["metadata"]["name"] = json!("job-1");
        other["spec"]["nodeName"] = json!("node-b");
        let text = told(&seen(&nodes, &[Pod::from(pod::fixture::pod(&[])), Pod::from(other)]));
        assert_eq!(
            text,
            "NODE    STATE     NAMESPACE  POD    STATUS   PROTECTED  CHECKPOINT  AGE  AT RISK\n\
             node-a  cordoned  jobs       job-0  Running  not told            -    -  no checkpoint that is known; the node is cordoned\n\
             node-b  ready     jobs       job-1  Running  not told            -    -  -\n\
             1 more node is well and has no pod here that is under crik\n"
        );
    }

    #[test]
    fn a_node_that_is_not_well_is_shown_without_pods_too_and_one_that_is_gone() {
        let mut silent = node::fixture::node("node-b");
        silent["status"] = json!({});
        let seen = seen(&[Node::from(silent)], &[Pod::from(pod::fixture::pod(&[]))]);
        let states: Vec<&str> = seen.nodes.iter().map(|on| on.state.as_str()).collect();
        assert_eq!(states, ["gone", "not ready"]);
        assert!(
            seen.nodes[0].pods[0].at_risk.as_deref().is_some_and(|why| why.ends_with("the node is gone"))
        );
    }
}
