//! The decision: what a SIGTERM means. Pure: what is known and how much time is left go in, the decision comes out.

use crik_api::{NodeState, NodeStatus};

use crate::config::OnUnknown;

/// What the agent does with a SIGTERM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Freeze the tree.
    Checkpoint(String),
    /// Pass the SIGTERM on.
    Terminate(String),
}

/// The part of the configuration that decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The node states that mean a checkpoint.
    pub checkpoint_on: Vec<NodeState>,
    /// What an undetermined state means.
    pub on_unknown: OnUnknown,
}

impl Policy {
    /// Decides, or says `None` as long as it is worth waiting.
    ///
    /// The kubelet publishes that its node shuts down at about the moment at which it sends the SIGTERM, or a little
    /// after. So a state that means a checkpoint counts at once, and every other only when `time_is_up`.
    pub fn decide<E: std::fmt::Display>(
        &self,
        known: Result<&NodeStatus, E>,
        time_is_up: bool,
    ) -> Option<Decision> {
        match known {
            Ok(status)
                if self.checkpoint_on.contains(&status.state) && status.state != NodeState::Unknown =>
            {
                Some(Decision::Checkpoint(describe(status)))
            }
            _ if !time_is_up => None,
            Ok(status) if status.stale => Some(
                self.undetermined(&format!("{}, but the controller has lost its source", describe(status))),
            ),
            Ok(status) if status.state == NodeState::Unknown => {
                Some(self.undetermined(&format!("the controller does not know node {}", status.name)))
            }
            Ok(status) => Some(Decision::Terminate(describe(status))),
            Err(why) => Some(self.undetermined(&why.to_string())),
        }
    }

    fn undetermined(&self, why: &str) -> Decision {
        match self.on_unknown {
            OnUnknown::Checkpoint => Decision::Checkpoint(format!("{why}; onUnknown is checkpoint")),
            OnUnknown::Terminate => Decision::Terminate(format!("{why}; onUnknown is terminate")),
        }
    }
}

/// What is known of a node, for a person.
pub fn describe(status: &NodeStatus) -> String {
    let signals: Vec<&str> = status.reasons.iter().map(|reason| &*reason.signal).collect();
    let because = if signals.is_empty() { String::new() } else { format!(" ({})", signals.join(", ")) };
    format!("node {} is {}{because}", status.name, status.state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn decide(known: Result<NodeState, &str>, time_is_up: bool) -> Option<Decision> {
        decide_with(OnUnknown::Checkpoint, known, false, time_is_up)
    }

    fn decide_with(
        on_unknown: OnUnknown,
        known: Result<NodeState, &str>,
        stale: bool,
        up: bool,
    ) -> Option<Decision> {
        let policy = Policy { checkpoint_on: Config::default().checkpoint_on, on_unknown };
        let status = |state| NodeStatus {
            name: "a".to_owned(),
            state,
            version: String::new(),
            reasons: Vec::new(),
            hints: Vec::new(),
            stale,
        };
        policy.decide(known.map(status).as_ref().map_err(|why| *why), up)
    }

    #[test]
    fn a_node_that_goes_away_means_a_checkpoint_at_once() {
        for state in [NodeState::Cordoned, NodeState::Draining, NodeState::ShuttingDown, NodeState::Gone] {
            assert!(matches!(decide(Ok(state), false), Some(Decision::Checkpoint(_))));
        }
    }

    #[test]
    fn ready_is_final_only_when_time_is_up() {
        assert_eq!(decide(Ok(NodeState::Ready), false), None);
        assert_eq!(
            decide(Ok(NodeState::Ready), true),
            Some(Decision::Terminate("node a is ready".to_owned()))
        );
    }

    #[test]
    fn what_cannot_be_learned_follows_on_unknown() {
        for known in [Err("no answer"), Ok(NodeState::Unknown)] {
            assert_eq!(decide(known, false), None);
            assert!(matches!(decide(known, true), Some(Decision::Checkpoint(_))));
            let terminate = decide_with(OnUnknown::Terminate, known, false, true);
            assert!(matches!(terminate, Some(Decision::Terminate(_))));
        }
    }

    #[test]
    fn a_stale_ready_is_not_believed_and_a_stale_shutdown_is() {
        let stale = |state, up| decide_with(OnUnknown::Checkpoint, Ok(state), true, up);
        assert!(matches!(stale(NodeState::Ready, true), Some(Decision::Checkpoint(_))));
        assert!(matches!(stale(NodeState::ShuttingDown, false), Some(Decision::Checkpoint(_))));
    }
}
