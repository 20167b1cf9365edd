//! The state machine of one node. Pure: time goes in as a number.
//!
//! Any state may jump forward. `shutting-down` latches, since `Ready` becomes Unknown when the machine dies and
//! overwrites the message that said so, and since a kubelet that is restarted forgets its shutdown.

use crik_api::{NodeState, Reason};

use super::remembered::{Absence, Latch, Moment};
use crate::base::limits;
use crate::signals::{Class, DELETED, Observation};

/// What is kept of one node. There are many, so what is rarely there is in a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// What was last seen.
    seen: Observation,
    /// Set as long as the node is shutting down.
    latch: Option<Box<Latch>>,
    /// Set as long as its pods may learn that they were deleted in its absence.
    absence: Option<Box<Absence>>,
    /// Since when the Node object is gone.
    gone_since: Option<Moment>,
}

impl Tracked {
    /// The first sight of a node, or the first of a new one under an old name.
    pub fn new(seen: Observation) -> Self {
        Self { latch: Latch::new(&seen), absence: Absence::new(&seen), seen, gone_since: None }
    }

    /// A further sight of the node. An object that comes back under its own UID was only missing, from a file half
    /// written for example, so its latch holds. A new one has another UID.
    #[must_use]
    pub fn seen(self, seen: Observation, now: Moment) -> Self {
        let mut next = Self::new(seen);
        if next.absence.is_none() {
            next.absence = self.absence.and_then(|absence| absence.when_back(&next.seen, now));
        }
        match self.latch {
            Some(latch) if !latch.is_over(&next.seen) => match &mut next.latch {
                // It began in the old boot, so that the next one ends it.
                Some(anew) => anew.boot_id = latch.boot_id,
                None => next.latch = latch.without_signal(&next.seen, now),
            },
            _ => {}
        }
        next
    }

    /// The node was deleted.
    #[must_use]
    pub fn deleted(self, now: Moment) -> Self {
        let gone_since = self.gone_since.or(Some(now));
        Self { gone_since, ..self.unheard() }
    }

    /// The node when its source is lost: the time in which nothing is seen is no time in good health.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        if let Some(latch) = &mut self.latch {
            latch.unheard();
        }
        if let Some(absence) = &mut self.absence {
            absence.unheard();
        }
        self
    }

    /// True if something is remembered of the node that holds it in its state.
    pub fn is_held(&self) -> bool {
        self.latch.is_some() || self.absence.is_some()
    }

    /// The node when time has passed and nothing is new of it; none when it need not be remembered any more.
    pub fn after(self, now: Moment) -> Option<Self> {
        match self.gone_since {
            Some(since) => (now < since + limits::GONE_KEPT).then_some(self),
            None => {
                let seen = self.seen.clone();
                Some(self.seen(seen, now))
            }
        }
    }

    /// When it is forgotten, by the passing of time alone.
    pub fn forgotten_at(&self) -> Option<Moment> {
        Some(self.gone_since? + limits::GONE_KEPT)
    }

    /// When what holds it lets go, if it is seen then: time alone says nothing of a node.
    pub fn held_until(&self) -> Option<Moment> {
        let latch = self.latch.as_ref().and_then(|latch| latch.due());
        let absence = self.absence.as_ref().and_then(|absence| absence.due());
        latch.into_iter().chain(absence).min().filter(|_| self.gone_since.is_none())
    }

    /// True if one more sight of the node, as `seen`, changes nothing, whenever it comes.
    pub fn stands(&self, seen: &Observation) -> bool {
        self.gone_since.is_none() && self.seen == *seen
    }

    /// True if the two cannot be told apart from outside.
    pub fn looks_like(&self, other: &Self) -> bool {
        let outside = |tracked: &Self| (tracked.state(), tracked.reasons(), tracked.hints());
        outside(self) == outside(other)
    }

    /// The node's state.
    pub fn state(&self) -> NodeState {
        match &self.latch {
            _ if self.gone_since.is_some() => NodeState::Gone,
            Some(_) => NodeState::ShuttingDown,
            None if self.seen.has(Class::Draining) => NodeState::Draining,
            None if self.seen.has(Class::Evicting) || self.absence.is_some() => NodeState::Evicting,
            None if self.seen.has(Class::Cordoned) => NodeState::Cordoned,
            None => NodeState::Ready,
        }
    }

    /// The signals that led to the state.
    pub fn reasons(&self) -> Vec<Reason> {
        match self.state() {
            NodeState::Gone => {
                let observed = "the Node object was deleted".to_owned();
                vec![Reason { signal: DELETED.to_owned(), observed }]
            }
            NodeState::ShuttingDown => {
                self.latch.as_ref().map(|latch| latch.reasons.clone()).unwrap_or_default()
            }
            NodeState::Draining => self.seen.of(Class::Draining),
            NodeState::Evicting => [self.seen.of(Class::Evicting), self.of_absence()].concat(),
            NodeState::Cordoned => self.seen.of(Class::Cordoned),
            NodeState::Ready | NodeState::Unknown => Vec::new(),
        }
    }

    fn of_absence(&self) -> Vec<Reason> {
        self.absence.as_ref().map(|absence| absence.reasons.clone()).unwrap_or_default()
    }

    /// Signals of candidates.
    pub fn hints(&self) -> Vec<Reason> {
        self.seen.of(Class::Candidate)
    }

    /// What was last seen.
    pub fn observation(&self) -> &Observation {
        &self.seen
    }

    /// The UID of the Node object, and the boot that its state belongs to.
    pub fn identity(&self) -> (Box<str>, Box<str>) {
        let boot_id = self.latch.as_ref().map_or(&self.seen.boot_id, |latch| &latch.boot_id);
        (self.seen.uid.clone(), boot_id.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::signals::Ready;

    const NOW: Moment = Duration::from_secs(1000);

    fn at(ready: Ready) -> Observation {
        Observation { uid: "u1".into(), boot_id: "b1".into(), ready, ..Observation::default() }
    }

    fn with(classes: &[Class], ready: Ready) -> Observation {
        let reason = |class: &Class| Reason { signal: format!("{class:?}"), observed: String::new() };
        Observation { signals: classes.iter().map(|class| (*class, reason(class))).collect(), ..at(ready) }
    }

    fn shutting_down() -> Observation {
        with(&[Class::ShuttingDown], Ready::False)
    }

    fn new(seen: &Observation) -> Tracked {
        Tracked::new(seen.clone())
    }

    impl Tracked {
        fn then(self, seen: &Observation, now: Moment) -> Self {
            self.seen(seen.clone(), now)
        }
    }

    fn after(first: &Observation, second: &Observation, later: u64) -> NodeState {
        new(first).then(second, NOW).then(second, NOW + Duration::from_secs(later)).state()
    }

    #[test]
    fn the_latch_holds_when_the_node_goes_silent() {
        assert_eq!(after(&shutting_down(), &at(Ready::Unknown), 10_000), NodeState::ShuttingDown);
    }

    #[test]
    fn the_latch_is_released_after_thirty_healthy_seconds() {
        assert_eq!(after(&shutting_down(), &at(Ready::True), 29), NodeState::ShuttingDown);
        assert_eq!(after(&shutting_down(), &at(Ready::True), 30), NodeState::Ready);
    }

    #[test]
    fn the_thirty_seconds_begin_anew_when_health_is_interrupted() {
        let latched = new(&shutting_down()).then(&at(Ready::True), NOW).then(&at(Ready::Unknown), NOW);
        let later = latched.then(&at(Ready::True), NOW + Duration::from_secs(40));
        assert_eq!(later.state(), NodeState::ShuttingDown);
        assert_eq!(later.held_until(), Some(NOW + Duration::from_secs(70)));
    }

    #[test]
    fn the_thirty_seconds_begin_anew_when_nothing_was_heard_meanwhile() {
        let latched = new(&shutting_down()).then(&at(Ready::True), NOW).unheard();
        assert_eq!(latched.held_until(), None);
        let heard = latched.after(NOW + Duration::from_secs(40)).unwrap();
        assert_eq!(heard.state(), NodeState::ShuttingDown);
        assert_eq!(heard.held_until(), Some(NOW + Duration::from_secs(70)));
    }

    #[test]
    fn a_boot_that_is_not_known_is_no_reboot() {
        let mut unknown = at(Ready::True);
        unknown.boot_id = "".into();
        assert_eq!(after(&shutting_down(), &unknown, 0), NodeState::ShuttingDown);
    }

    #[test]
    fn a_reboot_and_a_new_node_release_the_latch_at_once() {
        let mut rebooted = at(Ready::True);
        rebooted.boot_id = "b2".into();
        assert_eq!(after(&shutting_down(), &rebooted, 0), NodeState::Ready);
        let mut recreated = at(Ready::False);
        recreated.uid = "u2".into();
        assert_eq!(after(&shutting_down(), &recreated, 0), NodeState::Ready);
    }

    #[test]
    fn a_reboot_that_is_not_ready_yet_does_not_release_it() {
        let mut booting = at(Ready::Unknown);
        booting.boot_id = "b2".into();
        assert_eq!(after(&shutting_down(), &booting, 0), NodeState::ShuttingDown);
    }

    #[test]
    fn draining_evicting_and_cordoned_clear_with_their_signals() {
        let cordoned = with(&[Class::Cordoned], Ready::True);
        let unwell = with(&[Class::Evicting, Class::Cordoned], Ready::False);
        let drained = with(&[Class::Draining, Class::Evicting, Class::Cordoned], Ready::True);
        assert_eq!(new(&cordoned).state(), NodeState::Cordoned);
        assert_eq!(after(&cordoned, &unwell, 0), NodeState::Evicting);
        assert_eq!(after(&unwell, &cordoned, 0), NodeState::Cordoned);
        assert_eq!(after(&cordoned, &drained, 0), NodeState::Draining);
        assert_eq!(after(&drained, &at(Ready::True), 0), NodeState::Ready);
    }

    #[test]
    fn a_node_that_was_not_heard_of_is_remembered_when_it_is_back() {
        let absent = with(&[Class::Unreachable], Ready::Unknown);
        assert_eq!(new(&absent).state(), NodeState::Evicting);
        let back = new(&absent).then(&at(Ready::True), NOW);
        assert_eq!((back.state(), back.reasons().len()), (NodeState::Evicting, 1));
        assert_eq!(back.held_until(), Some(NOW + limits::ABSENCE_KEPT));
        let later = back.clone().after(NOW + limits::ABSENCE_KEPT).unwrap();
        assert_eq!((later.state(), later.held_until()), (NodeState::Ready, None));
        // A second absence begins anew, and another machine or boot has none of these pods.
        let again = back.clone().then(&absent, NOW).then(&at(Ready::True), NOW + Duration::from_secs(9));
        assert_eq!(again.held_until(), Some(NOW + Duration::from_secs(9) + limits::ABSENCE_KEPT));
        let mut rebooted = at(Ready::True);
        rebooted.boot_id = "b2".into();
        assert_eq!(back.then(&rebooted, NOW).state(), NodeState::Ready);
    }

    #[test]
    fn an_absence_outlasts_a_loss_of_the_source() {
        let absent = with(&[Class::Unreachable], Ready::Unknown);
        let back = new(&absent).then(&at(Ready::True), NOW).unheard();
        assert_eq!((back.state(), back.held_until()), (NodeState::Evicting, None));
        let heard = back.after(NOW + 2 * limits::ABSENCE_KEPT).unwrap();
        assert_eq!(heard.state(), NodeState::Evicting);
        assert_eq!(heard.held_until(), Some(NOW + 3 * limits::ABSENCE_KEPT));
    }

    #[test]
    fn a_candidate_is_only_a_hint() {
        let tracked = new(&with(&[Class::Candidate], Ready::True));
        assert_eq!((tracked.state(), tracked.hints().len()), (NodeState::Ready, 1));
    }

    #[test]
    fn a_deleted_node_is_gone_for_a_while() {
        let gone = new(&at(Ready::True)).deleted(NOW);
        assert_eq!(gone.state(), NodeState::Gone);
        assert!(gone.clone().after(NOW).is_some() && gone.clone().after(NOW + limits::GONE_KEPT).is_none());
        assert_eq!(gone.then(&at(Ready::True), NOW).state(), NodeState::Ready);
    }

    #[test]
    fn the_latch_holds_for_an_object_that_was_only_missing() {
        let back = new(&shutting_down()).deleted(NOW).then(&at(Ready::True), NOW);
        assert_eq!(back.state(), NodeState::ShuttingDown);
        let mut recreated = at(Ready::True);
        recreated.uid = "u2".into();
        let successor = new(&shutting_down()).deleted(NOW).then(&recreated, NOW);
        assert_eq!(successor.state(), NodeState::Ready);
    }

    #[test]
    fn the_latch_is_rebuilt_from_a_trace_on_a_node_that_is_not_well() {
        for ready in [Ready::Unknown, Ready::False] {
            let states = [Class::TooLate, Class::ShuttingDown].map(|trace| {
                let found = with(&[trace], ready);
                (new(&found).state(), new(&found).reasons().len())
            });
            assert_eq!(states, [(NodeState::ShuttingDown, 1); 2]);
        }
        for no_trace in [at(Ready::Unknown), with(&[Class::TooLate], Ready::True)] {
            assert_eq!(new(&no_trace).state(), NodeState::Ready);
        }
    }
}
