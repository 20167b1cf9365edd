//! What is remembered of one node beyond what is seen of it now. Pure: time goes in as a number.

use std::time::Duration;

use crik_api::Reason;

use crate::base::limits;
use crate::signals::{Class, Observation, Ready};

/// A moment, as the time since any fixed one.
pub type Moment = Duration;

/// What is remembered of a node whose pods were deleted while nobody heard of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    uid: Box<str>,
    boot_id: Box<str>,
    /// What was seen.
    pub reasons: Vec<Reason>,
    /// Since when it is heard of again.
    back_since: Option<Moment>,
}

impl Absence {
    /// One that begins or goes on, if that is seen.
    pub fn new(seen: &Observation) -> Option<Box<Self>> {
        let reasons = seen.of(Class::Unreachable);
        let (uid, boot_id) = (seen.uid.clone(), seen.boot_id.clone());
        (!reasons.is_empty()).then(|| Box::new(Self { uid, boot_id, reasons, back_since: None }))
    }

    /// What is left of it after a sight of the node that is heard of again.
    pub fn when_back(mut self: Box<Self>, seen: &Observation, now: Moment) -> Option<Box<Self>> {
        self.back_since = self.back_since.or(Some(now));
        let over = is_another(&self.uid, &self.boot_id, seen) || self.due().is_some_and(|due| now >= due);
        (!over).then_some(self)
    }

    /// The time in which nothing is heard is none in which the pods are told.
    pub fn unheard(&mut self) {
        self.back_since = None;
    }

    /// When it is over, if the node is seen then.
    pub fn due(&self) -> Option<Moment> {
        Some(self.back_since? + limits::ABSENCE_KEPT)
    }
}

/// True for what is another Node object, or another boot of its machine.
fn is_another(uid: &str, boot_id: &str, seen: &Observation) -> bool {
    let known = !boot_id.is_empty() && !seen.boot_id.is_empty();
    let rebooted = known && *boot_id != *seen.boot_id && seen.ready == Ready::True;
    *uid != *seen.uid || rebooted
}

/// What holds a node in `shutting-down`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latch {
    uid: Box<str>,
    /// In which boot it began.
    pub boot_id: Box<str>,
    /// What was seen.
    pub reasons: Vec<Reason>,
    /// Since when the node looks healthy.
    healthy_since: Option<Moment>,
}

impl Latch {
    /// One that begins or goes on, if that is seen.
    pub fn new(seen: &Observation) -> Option<Box<Self>> {
        let certain = seen.of(Class::ShuttingDown);
        // The latch is rebuilt from the object: a node with a trace of a shutdown has shut down, unless it says that it is well.
        let traces = if seen.ready != Ready::True { seen.of(Class::TooLate) } else { Vec::new() };
        let reasons = [certain, traces].concat();
        let latch =
            Self { uid: seen.uid.clone(), boot_id: seen.boot_id.clone(), reasons, healthy_since: None };
        (!latch.reasons.is_empty()).then(|| Box::new(latch))
    }

    /// True for what is another Node object, or another boot of its machine.
    pub fn is_over(&self, seen: &Observation) -> bool {
        is_another(&self.uid, &self.boot_id, seen)
    }

    /// The latch after a sight of the node that has no signal of its own; none if it lets go.
    pub fn without_signal(mut self: Box<Self>, seen: &Observation, now: Moment) -> Option<Box<Self>> {
        self.healthy_since = (seen.ready == Ready::True).then(|| self.healthy_since.unwrap_or(now));
        self.due().is_none_or(|due| now < due).then_some(self)
    }

    /// The time in which nothing is heard is no time in good health.
    pub fn unheard(&mut self) {
        self.healthy_since = None;
    }

    /// When it lets go, if the node is seen then.
    pub fn due(&self) -> Option<Moment> {
        Some(self.healthy_since? + limits::LATCH)
    }
}
