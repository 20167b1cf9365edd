//! Which of several answers to believe. Pure.

use crik_api::NodeState;

use crate::cluster::controller::unknown::Unknown;
use crate::cluster::node::knowledge::Knowledge;

/// The better of two answers of different replicas or times; the later one if they are equally good.
pub fn better(earlier: Knowledge, later: Knowledge) -> Knowledge {
    if rank(&later) >= rank(&earlier) { later } else { earlier }
}

/// A replica that sees the node knows more than one that saw it once, and that one more than one that never has. Of errors
/// the one that a person can act on is worth more.
fn rank(known: &Knowledge) -> u8 {
    match known {
        Ok(status) if status.state == NodeState::Unknown => 3,
        Ok(status) if status.stale => 4,
        Ok(_) => 5,
        Err(error) => match **error {
            Unknown::NotYet => 0,
            Unknown::Unreachable(_) | Unknown::Unresolved { .. } => 1,
            _ => 2,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crik_api::NodeStatus;

    use super::*;

    fn status(state: NodeState, stale: bool) -> Knowledge {
        let version = String::new();
        Ok(NodeStatus { name: String::new(), state, version, reasons: Vec::new(), hints: Vec::new(), stale })
    }

    #[test]
    fn who_sees_the_node_is_believed() {
        let ascending = || {
            [
                Err(Arc::new(Unknown::NotYet)),
                Err(Arc::new(Unknown::Unreachable("refused".to_owned()))),
                Err(Arc::new(Unknown::Garbage("nonsense".to_owned()))),
                status(NodeState::Unknown, false),
                status(NodeState::Cordoned, true),
                status(NodeState::Ready, false),
            ]
        };
        for (low, worse) in ascending().into_iter().enumerate() {
            for better_one in ascending().into_iter().skip(low + 1) {
                let expected = rank(&better_one);
                assert_eq!(rank(&better(worse.clone(), better_one.clone())), expected);
                assert_eq!(rank(&better(better_one, worse.clone())), expected);
            }
        }
    }

    #[test]
    fn of_two_that_are_as_good_the_later_counts() {
        let known = better(status(NodeState::Cordoned, false), status(NodeState::Ready, false));
        assert_eq!(known.unwrap().state, NodeState::Ready);
    }
}
