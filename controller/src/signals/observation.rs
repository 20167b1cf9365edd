//! What one look at a Node shows; all that is kept of it.

use crik_api::Reason;

use super::node::Ready;
use super::signal::Class;

/// The signals on a Node, and what tells it from others of its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// Tells a re-created Node from the old one of its name.
    pub uid: Box<str>,
    /// Changes with each boot of the machine.
    pub boot_id: Box<str>,
    /// The status of the condition Ready.
    pub ready: Ready,
    /// The signals, in the order of the table. Most nodes have none.
    pub signals: Box<[(Class, Reason)]>,
}

impl Observation {
    /// The signals of `class`.
    pub fn of(&self, class: Class) -> Vec<Reason> {
        self.signals.iter().filter(|(found, _)| *found == class).map(|(_, reason)| reason.clone()).collect()
    }

    /// True if there is a signal of `class`.
    pub fn has(&self, class: Class) -> bool {
        self.signals.iter().any(|(found, _)| *found == class)
    }

    /// The names of all signals.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        self.signals.iter().map(|(_, reason)| &*reason.signal)
    }

    /// True if the signal of this name is there.
    pub fn shows(&self, signal: &str) -> bool {
        self.signals().any(|found| found == signal)
    }
}
