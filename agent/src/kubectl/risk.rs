//! Whether a pod would lose work if its node went away, of nodes that are about to. Pure.

use std::time::Duration;

use super::list::{Told, age};
use super::node::Node;
use super::pod::Pod;
use crate::base::{limits, units};

/// What is at risk in a pod on this node; none if nothing is.
pub fn of(pod: &Pod, told: &Told, node: Option<&Node>) -> Option<String> {
    let leaving = match node {
        Some(node) => format!("the node {}", at_risk(pod, node)?),
        None => "the node is gone".to_owned(),
    };
    let age = told.last_checkpoint.as_ref().map(|last| age(&last.at));
    let lost = match age {
        _ if told.protected == Some(false) => "NOT PROTECTED".to_owned(),
        None => "no checkpoint that is known".to_owned(),
        Some(Some(age)) if age <= limits::FRESH_CHECKPOINT => return None,
        Some(Some(age)) => {
            format!("its newest checkpoint is {} old", units::roughly(Duration::from_secs(age.as_secs())))
        }
        Some(None) => "its newest checkpoint has no date".to_owned(),
    };
    Some(format!("{lost}; {leaving}"))
}

/// Why the node does not keep its pods. A taint that the pod tolerates has nothing to do with it.
fn at_risk(pod: &Pod, node: &Node) -> Option<String> {
    let why = node.unfit(&pod.spec()["tolerations"])?;
    Some(if why.starts_with("has ") { why } else { format!("is {why}") })
}

#[cfg(test)]
mod tests {
    use crik_api::report::{LAST_CHECKPOINT, PROTECTION};
    use serde_json::{Value, json};

    use super::super::{node, pod};
    use super::*;

    fn risk(annotations: &[(&str, Value)], change: impl FnOnce(&mut Value)) -> Option<String> {
        let mut node = node::fixture::node("node-a");
        change(&mut node);
        let pod = Pod::from(pod::fixture::pod(annotations));
        of(&pod, &Told::of(&pod), Some(&Node::from(node)))
    }

    fn checkpoint(seconds: u64) -> (&'static str, Value) {
        let at = units::rfc3339(units::now() - seconds);
        let rest = json!({
            "at": at, "generation": 1, "occasion": "interval", "frozenSeconds": 0.1, "durableSeconds": 0.1, "bytes": 1,
            "storedBytes": 1, "newBytes": 1,
        });
        (LAST_CHECKPOINT, rest)
    }

    fn cordon(node: &mut Value) {
        node["spec"]["unschedulable"] = json!(true);
    }

    #[test]
    fn on_a_node_that_is_well_nothing_is_at_risk() {
        assert_eq!(risk(&[(PROTECTION, json!({"protected": false}))], |_| ()), None);
    }

    #[test]
    fn on_one_that_goes_away_it_is_what_no_fresh_checkpoint_has() {
        let protected = (PROTECTION, json!({"protected": true}));
        assert_eq!(risk(&[protected.clone(), checkpoint(60)], cordon), None);
        let told = |annotations: &[(&str, Value)]| risk(annotations, cordon).unwrap();
        assert_eq!(
            told(std::slice::from_ref(&protected)),
            "no checkpoint that is known; the node is cordoned"
        );
        assert_eq!(
            told(&[protected, checkpoint(7830)]),
            "its newest checkpoint is 2h 10m old; the node is cordoned"
        );
        let not = (PROTECTION, json!({"protected": false, "why": "w"}));
        assert_eq!(told(&[not, checkpoint(1)]), "NOT PROTECTED; the node is cordoned");
    }

    #[test]
    fn a_taint_and_a_node_that_is_gone_count_too() {
        let tainted =
            risk(&[], |node| node["spec"]["taints"] = json!([{"key": "leaves", "effect": "NoExecute"}]));
        assert_eq!(tainted.unwrap(), "no checkpoint that is known; the node has the taint leaves");
        let pod = Pod::from(pod::fixture::pod(&[]));
        assert!(of(&pod, &Told::of(&pod), None).unwrap().ends_with("the node is gone"));
    }
}
