//! What on a Node means that it is going away: one look at a Node object, without time and without effects. May import `base`.

mod configured;
mod matcher;
mod node;
mod observation;
mod signal;
mod table;

use crik_api::Reason;

pub use self::configured::read;
pub use self::node::{Node, Object, Ready};
pub use self::observation::Observation;
use self::signal::Signal;
pub use self::signal::{Class, DELETED, SOURCE_LOST};
pub use self::table::TABLE;

/// All signals that are looked for.
#[derive(Debug, Clone, Default)]
pub struct Signals(Vec<Signal>);

impl Signals {
    /// Those of the table.
    pub fn built_in() -> Self {
        Self(TABLE.to_vec())
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
mod tests;
