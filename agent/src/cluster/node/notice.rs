//! Which states of the node are notice that it goes away, for `actOn: notice`. Pure.

use crik_api::{NodeState, NodeStatus};

use crate::cluster::node::decide::describe;
use crate::cluster::node::knowledge::is_seen;

/// A state that means a checkpoint now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The state.
    pub state: NodeState,
    /// What to tell a person.
    pub why: String,
}

/// Tells notice that is new from what was known before.
#[derive(Debug)]
pub struct Judge {
    states: Vec<NodeState>,
    /// Whether the first state to come is no news.
    stayed: bool,
    /// The most certain state that is no news.
    old: Option<NodeState>,
}

impl Judge {
    /// For the states that are notice. An application that `stayed`, which is to say was resumed on the node on which a
    /// checkpoint had ended it, goes on there also when the node is still in such a state: the kubelet starts a container
    /// again in its place, and it would be checkpointed and resumed without end. So does one that started fresh since its
    /// checkpoints could not be resumed.
    pub fn new(states: Vec<NodeState>, stayed: bool) -> Self {
        Self { states, stayed, old: None }
    }

    /// Whether `status` says that there is no reason for notice any more.
    pub fn is_over(&self, status: &NodeStatus) -> bool {
        is_seen(status) && !self.states.contains(&status.state)
    }

    /// The notice that is in `status`. What is stale is none: who lost sight of a node does not see it recover either.
    pub fn hear(&mut self, status: &NodeStatus) -> Option<Notice> {
        if !is_seen(status) {
            return None;
        }
        let still = std::mem::take(&mut self.stayed);
        if self.is_over(status) {
            self.old = None;
            return None;
        }
        if still {
            tracing::info!("{}, as it was before the start; the application goes on here", describe(status));
            self.old = Some(status.state);
        }
        let news = self.old.is_none_or(|old| old < status.state);
        news.then(|| Notice { state: status.state, why: describe(status) })
    }
}

#[cfg(test)]
mod tests {
    use super::NodeState::*;
    use super::*;
    use crate::config::CheckpointOn;

    fn status(state: NodeState, stale: bool) -> NodeStatus {
        let (name, version) = ("a".to_owned(), String::new());
        NodeStatus { name, state, version, reasons: Vec::new(), hints: Vec::new(), stale }
    }

    /// Which of these states, one after the other, are notice.
    fn heard(stayed: bool, story: &[NodeState]) -> Vec<NodeState> {
        let mut judge = Judge::new(CheckpointOn::default().notice(), stayed);
        story
            .iter()
            .filter_map(|state| judge.hear(&status(*state, false)))
            .map(|notice| notice.state)
            .collect()
    }

    #[test]
    fn a_node_that_goes_away_is_notice_and_one_that_is_cordoned_is_not() {
        assert_eq!(heard(false, &[Ready, Cordoned, Draining]), [Draining]);
        assert_eq!(heard(false, &[Ready, ShuttingDown]), [ShuttingDown]);
        assert_eq!(heard(false, &[Ready, Gone]), [Gone]);
        assert_eq!(heard(false, &[Ready, Cordoned, Unknown, Ready]), []);
    }

    #[test]
    fn one_that_went_away_already_at_a_fresh_start_is_notice() {
        assert_eq!(heard(false, &[Draining]), [Draining]);
    }

    #[test]
    fn who_was_resumed_in_its_place_goes_on_until_there_is_more() {
        assert_eq!(heard(true, &[Draining, Draining]), []);
        assert_eq!(heard(true, &[Draining, ShuttingDown]), [ShuttingDown]);
        assert_eq!(heard(true, &[ShuttingDown, Unknown, ShuttingDown, Draining]), []);
    }

    #[test]
    fn a_drain_that_was_taken_back_can_come_again() {
        assert_eq!(heard(true, &[Draining, Ready, Draining]), [Draining]);
        assert_eq!(heard(true, &[Draining, Cordoned, Draining]), [Draining]);
        assert_eq!(heard(true, &[Ready, Draining]), [Draining]);
    }

    #[test]
    fn what_is_stale_is_no_notice() {
        let mut judge = Judge::new(vec![Draining, ShuttingDown, Gone], false);
        assert_eq!(judge.hear(&status(ShuttingDown, true)), None);
        assert!(judge.hear(&status(ShuttingDown, false)).is_some());
    }

    #[test]
    fn only_who_sees_the_node_says_that_it_is_over() {
        let judge = Judge::new(vec![Draining], false);
        assert!(judge.is_over(&status(Ready, false)) && judge.is_over(&status(Cordoned, false)));
        assert!(!judge.is_over(&status(Ready, true)) && !judge.is_over(&status(Unknown, false)));
        assert!(!judge.is_over(&status(Draining, false)));
    }

    #[test]
    fn only_what_means_a_checkpoint_is_notice() {
        let states = |nodes: &[NodeState]| CheckpointOn { nodes: nodes.to_vec(), disrupted: true }.notice();
        assert_eq!(states(&[Cordoned, ShuttingDown]), [ShuttingDown]);
        assert!(states(&[Cordoned, Ready]).is_empty());
    }
}
