//! Numbers for metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use crik_api::NodeState;

/// What the index counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// How many nodes are in each state; `unknown` has none.
    pub nodes: BTreeMap<&'static str, usize>,
    /// How many nodes show each signal now. A signal that no node shows has no entry.
    pub shown: BTreeMap<Box<str>, usize>,
    /// How often each signal has appeared on a node since the start.
    pub appeared: BTreeMap<Box<str>, u64>,
    /// Since when nothing was heard from the source; none if nothing ever was.
    pub silence: Option<Duration>,
    /// How often all nodes were listed.
    pub listed: u64,
    /// How often the source failed.
    pub failed: u64,
    /// True while the source is lost.
    pub stale: bool,
}

impl Counts {
    /// No nodes in any state.
    pub(super) fn none() -> BTreeMap<&'static str, usize> {
        let states = NodeState::ALL.into_iter().filter(|state| *state != NodeState::Unknown);
        states.map(|state| (state.as_str(), 0)).collect()
    }
}
