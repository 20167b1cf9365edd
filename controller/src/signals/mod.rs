//! The signals: what on a Node means that it is going away. Pure.

mod configured;
mod matcher;
mod observation;
mod table;

use std::borrow::Cow;

use crik_api::Reason;

pub use self::configured::read;
use self::matcher::Matcher;
pub use self::observation::{Observation, Ready};
use crate::node::Node;

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The node goes away for certain.
    ShuttingDown,
    /// The node is being drained, which can be taken back.
    Draining,
    /// No new pods are scheduled to it.
    Cordoned,
    /// A candidate only: a hint, and no reason for a checkpoint.
    Candidate,
    /// Comes too late for pods to get a SIGTERM; what is left to see of a shutdown.
    TooLate,
    /// The kubelet is silent. Too late as well, but no trace of a shutdown: its network may be cut.
    Silent,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Signal {
    name: Cow<'static, str>,
    class: Class,
    matcher: Matcher,
}

/// All signals that are looked for.
#[derive(Debug, Clone)]
pub struct Signals(Vec<Signal>);

impl Signals {
    /// Those of the table.
    pub fn built_in() -> Self {
        Self(table::TABLE.to_vec())
    }

    /// These and more.
    #[must_use]
    pub fn with(mut self, more: Vec<Signal>) -> Self {
        self.0.extend(more);
        self
    }

    /// Looks at a node.
    pub fn observe(&self, node: &Node) -> Observation {
        let found = self.0.iter().filter_map(|signal| {
            let observed = signal.matcher.observed(node)?;
            Some((signal.class, Reason { signal: signal.name.clone().into_owned(), observed }))
        });
        Observation {
            uid: node.uid.as_str().into(),
            boot_id: node.boot_id.as_str().into(),
            ready: node.ready(),
            signals: found.collect(),
        }
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
