//! The state machine of one node. Pure: time goes in as a number.
//!
//! Any state may jump forward. `shutting-down` latches, since `Ready` becomes Unknown when the machine dies and
//! overwrites the message that said so, and since a kubelet that is restarted forgets its shutdown.

use std::time::Duration;

use crik_api::{NodeState, Reason};

use crate::limits;
use crate::node::Node;
use crate::signals::{Class, Observation};

/// A moment, as the time since any fixed one.
pub type Moment = Duration;

/// What is kept of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    uid: String,
    boot_id: String,
    /// The node's state.
    pub state: NodeState,
    /// The signals that led to it.
    pub reasons: Vec<Reason>,
    /// Signals of candidates.
    pub hints: Vec<Reason>,
    /// Since when a latched node looks healthy.
    healthy_since: Option<Moment>,
    /// Of a deleted node.
    gone: Option<Gone>,
}

/// When a node was deleted, and what it was until then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gone {
    since: Moment,
    was: Box<Tracked>,
}

impl Tracked {
    /// The first sight of a node, or the first of a new one under an old name.
    pub fn new(node: &Node, seen: &Observation) -> Self {
        let mut tracked = Self {
            uid: node.uid.clone(),
            boot_id: node.boot_id.clone(),
            state: NodeState::Ready,
            reasons: Vec::new(),
            hints: seen.of(Class::Candidate),
            healthy_since: None,
            gone: None,
        };
        // The latch is rebuilt from the object: a silent node with a trace of a shutdown has shut down.
        if node.ready() == "Unknown" && seen.has(Class::TooLate) {
            (tracked.state, tracked.reasons) = (NodeState::ShuttingDown, seen.of(Class::TooLate));
            return tracked;
        }
        (tracked.state, tracked.reasons) = unlatched(seen);
        tracked
    }

    /// A further sight of the node.
    #[must_use]
    pub fn seen(self, node: &Node, seen: &Observation, now: Moment) -> Self {
        // An object that comes back under its own UID was only missing, from a file half written for example, so its
        // latch holds. A new one has another UID.
        if let Some(gone) = self.gone {
            return gone.was.seen(node, seen, now);
        }
        let rebooted = self.boot_id != node.boot_id && node.ready() == "True";
        if self.uid != node.uid || rebooted {
            return Self::new(node, seen);
        }
        let next = Self::new(node, seen);
        if self.state != NodeState::ShuttingDown || next.state == NodeState::ShuttingDown {
            return next;
        }
        let healthy_since = (node.ready() == "True").then(|| self.healthy_since.unwrap_or(now));
        Self { hints: next.hints, healthy_since, ..self }.released(node, seen, now)
    }

    /// Lets a latch go whose time is over.
    fn released(self, node: &Node, seen: &Observation, now: Moment) -> Self {
        match self.healthy_since {
            Some(since) if now >= since + limits::LATCH => Self::new(node, seen),
            _ => self,
        }
    }

    /// The node was deleted.
    #[must_use]
    pub fn deleted(self, now: Moment) -> Self {
        if self.gone.is_some() {
            return self;
        }
        let reason =
            Reason { signal: "deleted".to_owned(), observed: "the Node object was deleted".to_owned() };
        // The time in which nothing was seen is no time in good health.
        let was = Box::new(Self { healthy_since: None, ..self.clone() });
        let gone = Some(Gone { since: now, was });
        Self { state: NodeState::Gone, reasons: vec![reason], healthy_since: None, gone, ..self }
    }

    /// When the passing of time alone changes something.
    pub fn due(&self) -> Option<Moment> {
        let latch = self.healthy_since.map(|since| since + limits::LATCH);
        latch.or(self.gone.as_ref().map(|gone| gone.since + limits::GONE_KEPT))
    }

    /// True when a deleted node need not be remembered any more.
    pub fn forgettable(&self, now: Moment) -> bool {
        self.gone.as_ref().is_some_and(|gone| now >= gone.since + limits::GONE_KEPT)
    }
}

/// The state that the signals alone say.
fn unlatched(seen: &Observation) -> (NodeState, Vec<Reason>) {
    let ranks = [
        (Class::ShuttingDown, NodeState::ShuttingDown),
        (Class::Draining, NodeState::Draining),
        (Class::Cordoned, NodeState::Cordoned),
    ];
    let rank = ranks.into_iter().find(|(class, _)| seen.has(*class));
    rank.map_or((NodeState::Ready, Vec::new()), |(class, state)| (state, seen.of(class)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Condition, Taint};
    use crate::signals::observe;

    const NOW: Moment = Duration::from_secs(1000);

    fn ready(status: &str) -> Node {
        let ready = Condition { kind: "Ready".to_owned(), status: status.to_owned(), ..Condition::default() };
        Node {
            name: "a".to_owned(),
            uid: "u1".to_owned(),
            boot_id: "b1".to_owned(),
            conditions: vec![ready],
            ..Node::default()
        }
    }

    fn shutting_down() -> Node {
        let mut node = ready("False");
        node.conditions[0].reason = "KubeletNotReady".to_owned();
        node.conditions[0].message = "node is shutting down".to_owned();
        node
    }

    fn new(node: &Node) -> Tracked {
        Tracked::new(node, &observe(node))
    }

    impl Tracked {
        fn then(self, node: &Node, now: Moment) -> Self {
            self.seen(node, &observe(node), now)
        }
    }

    fn after(first: &Node, second: &Node, later: u64) -> NodeState {
        new(first).then(second, NOW).then(second, NOW + Duration::from_secs(later)).state
    }

    #[test]
    fn the_latch_holds_when_the_node_goes_silent() {
        assert_eq!(after(&shutting_down(), &ready("Unknown"), 10_000), NodeState::ShuttingDown);
    }

    #[test]
    fn the_latch_is_released_after_thirty_healthy_seconds() {
        assert_eq!(after(&shutting_down(), &ready("True"), 29), NodeState::ShuttingDown);
        assert_eq!(after(&shutting_down(), &ready("True"), 30), NodeState::Ready);
    }

    #[test]
    fn the_thirty_seconds_begin_anew_when_health_is_interrupted() {
        let latched = new(&shutting_down()).then(&ready("True"), NOW).then(&ready("Unknown"), NOW);
        let later = latched.then(&ready("True"), NOW + Duration::from_secs(40));
        assert_eq!(later.state, NodeState::ShuttingDown);
        assert_eq!(later.due(), Some(NOW + Duration::from_secs(70)));
    }

    #[test]
    fn a_reboot_and_a_new_node_release_the_latch_at_once() {
        let mut rebooted = ready("True");
        rebooted.boot_id = "b2".to_owned();
        assert_eq!(after(&shutting_down(), &rebooted, 0), NodeState::Ready);
        let mut recreated = ready("False");
        recreated.uid = "u2".to_owned();
        assert_eq!(after(&shutting_down(), &recreated, 0), NodeState::Ready);
    }

    #[test]
    fn a_reboot_that_is_not_ready_yet_does_not_release_it() {
        let mut booting = ready("Unknown");
        booting.boot_id = "b2".to_owned();
        assert_eq!(after(&shutting_down(), &booting, 0), NodeState::ShuttingDown);
    }

    #[test]
    fn draining_and_cordoned_clear_with_their_signals() {
        let mut cordoned = ready("True");
        cordoned.unschedulable = true;
        let mut drained = cordoned.clone();
        drained.taints =
            vec![Taint { key: "ToBeDeletedByClusterAutoscaler".to_owned(), effect: String::new() }];
        assert_eq!(new(&cordoned).state, NodeState::Cordoned);
        assert_eq!(after(&cordoned, &drained, 0), NodeState::Draining);
        assert_eq!(after(&drained, &ready("True"), 0), NodeState::Ready);
    }

    #[test]
    fn a_candidate_is_only_a_hint() {
        let mut candidate = ready("True");
        candidate.taints =
            vec![Taint { key: "DeletionCandidateOfClusterAutoscaler".to_owned(), effect: String::new() }];
        let tracked = new(&candidate);
        assert_eq!((tracked.state, tracked.hints.len()), (NodeState::Ready, 1));
    }

    #[test]
    fn a_deleted_node_is_gone_for_a_while() {
        let gone = new(&ready("True")).deleted(NOW);
        assert_eq!(gone.state, NodeState::Gone);
        assert!(!gone.forgettable(NOW) && gone.forgettable(NOW + limits::GONE_KEPT));
        assert_eq!(gone.then(&ready("True"), NOW).state, NodeState::Ready);
    }

    #[test]
    fn the_latch_holds_for_an_object_that_was_only_missing() {
        let back = new(&shutting_down()).deleted(NOW).then(&ready("True"), NOW);
        assert_eq!(back.state, NodeState::ShuttingDown);
        let mut recreated = ready("True");
        recreated.uid = "u2".to_owned();
        let successor = new(&shutting_down()).deleted(NOW).then(&recreated, NOW);
        assert_eq!(successor.state, NodeState::Ready);
    }

    #[test]
    fn the_latch_is_rebuilt_from_a_silent_node_with_a_trace() {
        let mut dead = ready("Unknown");
        assert_eq!(new(&dead).state, NodeState::Ready);
        dead.taints = vec![Taint {
            key: "node.cloudprovider.kubernetes.io/shutdown".to_owned(),
            effect: String::new(),
        }];
        assert_eq!(new(&dead).state, NodeState::ShuttingDown);
    }
}
