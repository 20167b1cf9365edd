//! The states that a configuration names: those that mean a checkpoint, and which of them are notice.

use crik_api::{NodeState, PodState};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The states that mean a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointOn {
    /// Those of the node.
    pub nodes: Vec<NodeState>,
    /// Whether the pod's [`PodState::Disrupted`] is one of them.
    pub disrupted: bool,
}

impl Default for CheckpointOn {
    fn default() -> Self {
        let goes_away = |state: &NodeState| !matches!(state, NodeState::Unknown | NodeState::Ready);
        Self { nodes: NodeState::ALL.into_iter().filter(goes_away).collect(), disrupted: true }
    }
}

impl CheckpointOn {
    /// The states that are notice. A node may stay cordoned for days, and its pods with it; one that is not well may be so again
    /// before its pods are deleted. Those that are moved away later get a SIGTERM, and so does a pod that is disrupted.
    pub fn notice(&self) -> Vec<NodeState> {
        let notice = [NodeState::Draining, NodeState::ShuttingDown, NodeState::Gone];
        notice.into_iter().filter(|state| self.nodes.contains(state)).collect()
    }
}

impl<'de> Deserialize<'de> for CheckpointOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let disrupted = PodState::Disrupted.as_str();
        let of_nodes = words.iter().filter(|word| *word != disrupted);
        let nodes = of_nodes.map(|word| word.parse().map_err(|_| D::Error::custom(no_state(word))));
        Ok(Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            disrupted: words.iter().any(|word| word == disrupted),
        })
    }
}

fn no_state(word: &str) -> String {
    let known = NodeState::ALL.map(NodeState::as_str).join(", ");
    format!("{word:?} is no node state; there are {known}, and disrupted for the pod itself")
}
