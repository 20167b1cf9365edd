//! The node states that a configuration names: those that mean a checkpoint, and which of them are notice.

use crik_api::NodeState;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub(super) fn node_states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NodeState>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    words
        .iter()
        .map(|word| {
            word.parse().map_err(|_| {
                let known = NodeState::ALL.map(NodeState::as_str).join(", ");
                D::Error::custom(format!("{word:?} is no node state; there are {known}"))
            })
        })
        .collect()
}

/// The states of `checkpoint_on` that are notice. A node may stay cordoned for days, and its pods with it; those that are
/// moved away later get a SIGTERM.
pub fn notice_states(checkpoint_on: &[NodeState]) -> Vec<NodeState> {
    let notice = [NodeState::Draining, NodeState::ShuttingDown, NodeState::Gone];
    notice.into_iter().filter(|state| checkpoint_on.contains(state)).collect()
}
