//! The states of the nodes of many pods, each looked at once.

use std::collections::HashMap;
use std::sync::Arc;

use crik_api::NodeState;

use crate::index::Index;

/// Those that were looked at.
pub struct NodeStates {
    index: Arc<Index>,
    seen: HashMap<Box<str>, NodeState>,
}

impl NodeStates {
    /// None yet.
    pub fn new(index: Arc<Index>) -> Self {
        Self { index, seen: HashMap::new() }
    }

    /// The state of this one.
    pub fn of(&mut self, node: &str) -> NodeState {
        if let Some(state) = self.seen.get(node) {
            return *state;
        }
        let state = self.index.get(node).map_or(NodeState::Unknown, |status| status.state);
        self.seen.insert(node.into(), state);
        state
    }
}
