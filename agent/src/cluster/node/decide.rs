//! The decision: what a SIGTERM means. Pure: what is known and how much time is left go in, the decision comes out.

use crik_api::{NodeState, NodeStatus, PodState, PodStatus, Reason};

use crate::config::{CheckpointOn, OnUnknown};

/// What the agent does with a SIGTERM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Freeze the tree.
    Checkpoint(String),
    /// Pass the SIGTERM on.
    Terminate {
        /// For a person.
        why: String,
        /// What becomes of the checkpoints that are there.
        past: Past,
    },
}

/// What becomes of the checkpoints that are there, when the application is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Someone wanted it stopped, so they are not resumed.
    Closed,
    /// Nobody wanted its work to end, so they are all that it has.
    Open,
}

/// The part of the configuration that decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The states that mean a checkpoint.
    pub checkpoint_on: CheckpointOn,
    /// What an undetermined state means.
    pub on_unknown: OnUnknown,
}

impl Policy {
    /// Decides, or says `None` as long as it is worth waiting.
    ///
    /// The kubelet publishes that its node shuts down, or that it evicts a pod, at about the moment at which it sends the
    /// SIGTERM, or a little after. So a state that means a checkpoint counts at once, and every other only when `time_is_up`.
    pub fn decide<E: std::fmt::Display, P: std::fmt::Display>(
        &self,
        node: Result<&NodeStatus, E>,
        pod: Result<&PodStatus, P>,
        time_is_up: bool,
    ) -> Option<Decision> {
        let meant = node.as_ref().ok().filter(|status| self.node_means_checkpoint(status)).copied();
        if let Some(status) = meant {
            return Some(Decision::Checkpoint(describe(status)));
        }
        let disrupted = |status: &&&PodStatus| status.state == PodState::Disrupted;
        if let Some(status) = pod.as_ref().ok().filter(disrupted).filter(|_| self.checkpoint_on.disrupted) {
            return Some(Decision::Checkpoint(describe_pod(status)));
        }
        time_is_up.then(|| self.at_last(node, pod))
    }

    fn node_means_checkpoint(&self, status: &NodeStatus) -> bool {
        status.state != NodeState::Unknown && self.checkpoint_on.nodes.contains(&status.state)
    }

    fn at_last<E: std::fmt::Display, P: std::fmt::Display>(
        &self,
        node: Result<&NodeStatus, E>,
        pod: Result<&PodStatus, P>,
    ) -> Decision {
        let undetermined = match node {
            Ok(status) if status.stale => {
                format!("{}, but the controller has lost its source", describe(status))
            }
            Ok(status) if status.state == NodeState::Unknown => {
                format!("the controller does not know node {}", status.name)
            }
            Ok(status) => return terminate(&describe(status), pod),
            Err(why) => why.to_string(),
        };
        match self.on_unknown {
            OnUnknown::Checkpoint => Decision::Checkpoint(format!("{undetermined}; onUnknown is checkpoint")),
            OnUnknown::Terminate => terminate(&format!("{undetermined}; onUnknown is terminate"), pod),
        }
    }
}

/// Only an owner who ends the pod closes the past. Where nobody says who does, that is taken for the owner, as without a
/// controller that tells.
fn terminate<P: std::fmt::Display>(node: &str, pod: Result<&PodStatus, P>) -> Decision {
    let (pod, past) = match pod {
        Ok(status) if matches!(status.state, PodState::Running | PodState::Disrupted) => {
            (format!("{}, so its checkpoints can still be resumed", describe_pod(status)), Past::Open)
        }
        Ok(status) => (describe_pod(status), Past::Closed),
        Err(unknown) => (unknown.to_string(), Past::Closed),
    };
    Decision::Terminate { why: format!("{node}; {pod}"), past }
}

/// What is known of a node, for a person.
pub fn describe(status: &NodeStatus) -> String {
    format!("node {} is {}{}", status.name, status.state, because(&status.reasons))
}

/// What is known of the pod, for a person.
fn describe_pod(status: &PodStatus) -> String {
    let because = because(&status.reasons);
    match status.state {
        PodState::Running => {
            "nobody ends the pod, but this container is stopped, as by a liveness probe".to_owned()
        }
        PodState::Disrupted => format!("the pod is disrupted{because}"),
        PodState::Deleted => {
            format!("the pod is deleted{because}; to have its program go on elsewhere, cordon its node first")
        }
        PodState::Unknown => {
            "the controller says something of the pod that this release does not know".to_owned()
        }
    }
}

fn because(reasons: &[Reason]) -> String {
    let signals: Vec<&str> = reasons.iter().map(|reason| &*reason.signal).collect();
    if signals.is_empty() { String::new() } else { format!(" ({})", signals.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Result<PodState, &str> = Err("nobody was asked why");

    /// What is decided of a node and a pod of these states, by default.
    fn decide(node: Result<NodeState, &str>, time_is_up: bool) -> Option<Decision> {
        decide_with(&CheckpointOn::default(), OnUnknown::Checkpoint, (node, false), NOBODY, time_is_up)
    }

    fn decide_with(
        checkpoint_on: &CheckpointOn,
        on_unknown: OnUnknown,
        (node, stale): (Result<NodeState, &str>, bool),
        pod: Result<PodState, &str>,
        up: bool,
    ) -> Option<Decision> {
        let policy = Policy { checkpoint_on: checkpoint_on.clone(), on_unknown };
        let name = || "a".to_owned();
        let (version, reasons, hints) = (String::new(), Vec::new(), Vec::new());
        let node = node.map(|state| NodeStatus { name: name(), state, version, reasons, hints, stale });
        let (namespace, uid, reasons) = (String::new(), String::new(), Vec::new());
        let deletion_grace_seconds = None;
        let pod = pod.map(|state| PodStatus {
            namespace,
            name: name(),
            uid,
            state,
            reasons,
            deletion_grace_seconds,
            deletion_grace_used_seconds: None,
        });
        policy.decide(node.as_ref().map_err(|why| *why), pod.as_ref().map_err(|why| *why), up)
    }

    /// What is decided of a pod of this state on a node that is ready.
    fn of_pod(checkpoint_on: &CheckpointOn, pod: PodState, up: bool) -> Option<Decision> {
        let ready = (Ok(NodeState::Ready), false);
        decide_with(checkpoint_on, OnUnknown::Checkpoint, ready, Ok(pod), up)
    }

    fn past(decision: Option<Decision>) -> Option<Past> {
        match decision? {
            Decision::Terminate { past, .. } => Some(past),
            Decision::Checkpoint(_) => None,
        }
    }

    #[test]
    fn a_node_that_goes_away_means_a_checkpoint_at_once() {
        for state in NodeState::ALL.into_iter().filter(|state| *state > NodeState::Ready) {
            assert!(matches!(decide(Ok(state), false), Some(Decision::Checkpoint(_))));
        }
    }

    #[test]
    fn ready_is_final_only_when_time_is_up() {
        assert_eq!(decide(Ok(NodeState::Ready), false), None);
        let why = "node a is ready; nobody was asked why".to_owned();
        let expected = Decision::Terminate { why, past: Past::Closed };
        assert_eq!(decide(Ok(NodeState::Ready), true), Some(expected));
    }

    #[test]
    fn a_pod_that_is_disrupted_means_a_checkpoint_at_once_if_that_is_configured() {
        let disrupted = of_pod(&CheckpointOn::default(), PodState::Disrupted, false);
        assert!(matches!(disrupted, Some(Decision::Checkpoint(_))), "{disrupted:?}");
        let without = CheckpointOn { disrupted: false, ..CheckpointOn::default() };
        assert_eq!(of_pod(&without, PodState::Disrupted, false), None);
        // It was not the owner who wanted it to stop.
        assert_eq!(past(of_pod(&without, PodState::Disrupted, true)), Some(Past::Open));
    }

    #[test]
    fn only_an_owner_who_ends_the_pod_closes_the_past() {
        for (state, expected) in [
            (PodState::Running, Past::Open),
            (PodState::Deleted, Past::Closed),
            (PodState::Unknown, Past::Closed),
        ] {
            assert_eq!(of_pod(&CheckpointOn::default(), state, false), None, "{state}");
            assert_eq!(past(of_pod(&CheckpointOn::default(), state, true)), Some(expected), "{state}");
        }
    }

    #[test]
    fn what_cannot_be_learned_follows_on_unknown() {
        for known in [Err("no answer"), Ok(NodeState::Unknown)] {
            assert_eq!(decide(known, false), None);
            assert!(matches!(decide(known, true), Some(Decision::Checkpoint(_))));
            for (pod, expected) in [(NOBODY, Past::Closed), (Ok(PodState::Running), Past::Open)] {
                let on = CheckpointOn::default();
                let terminate = decide_with(&on, OnUnknown::Terminate, (known, false), pod, true);
                assert_eq!(past(terminate), Some(expected));
            }
        }
    }

    #[test]
    fn a_stale_ready_is_not_believed_and_a_stale_shutdown_is() {
        let on = CheckpointOn::default();
        let stale = |state, up| decide_with(&on, OnUnknown::Checkpoint, (Ok(state), true), NOBODY, up);
        assert!(matches!(stale(NodeState::Ready, true), Some(Decision::Checkpoint(_))));
        assert!(matches!(stale(NodeState::ShuttingDown, false), Some(Decision::Checkpoint(_))));
    }
}
