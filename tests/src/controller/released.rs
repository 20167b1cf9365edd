//! What agents read that are out there already. It is frozen: a change here is not one of theirs.

use serde::Deserialize;

/// What the agent of crik v0.1.2, the Go program, reads at `/nodes/{name}`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct GoNode {
    /// The node.
    pub name: String,
    /// `shutting-down`, or anything else.
    pub state: String,
}

/// What an agent of 0.1.0 takes a node's state for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[allow(missing_docs)]
pub enum NodeState {
    Unknown,
    Ready,
    Cordoned,
    Draining,
    ShuttingDown,
    Gone,
}

impl From<String> for NodeState {
    fn from(word: String) -> Self {
        match &*word {
            "ready" => Self::Ready,
            "cordoned" => Self::Cordoned,
            "draining" => Self::Draining,
            "shutting-down" => Self::ShuttingDown,
            "gone" => Self::Gone,
            _ => Self::Unknown,
        }
    }
}

/// The same of a pod's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[allow(missing_docs)]
pub enum PodState {
    Unknown,
    Running,
    Disrupted,
    Deleted,
}

impl From<String> for PodState {
    fn from(word: String) -> Self {
        match &*word {
            "running" => Self::Running,
            "disrupted" => Self::Disrupted,
            "deleted" => Self::Deleted,
            _ => Self::Unknown,
        }
    }
}

/// A signal, as an agent of 0.1.0 reads it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub struct Reason {
    pub signal: String,
    pub observed: String,
}

/// What it reads at `/v1/nodes/{name}`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct NodeStatus {
    pub name: String,
    pub state: NodeState,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub reasons: Vec<Reason>,
    #[serde(default)]
    pub hints: Vec<Reason>,
    #[serde(default)]
    pub stale: bool,
}

/// What it reads at `/v1/pods/{namespace}/{name}`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct PodStatus {
    pub namespace: String,
    pub name: String,
    #[serde(default)]
    pub uid: String,
    pub state: PodState,
    #[serde(default)]
    pub reasons: Vec<Reason>,
    #[serde(default)]
    pub deletion_grace_seconds: Option<u64>,
    #[serde(default)]
    pub deletion_grace_used_seconds: Option<u64>,
}

/// What a dashboard of 0.1.0 reads at `/v1/nodes`, and in a `snapshot` of `/v1/events`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub struct NodeList {
    pub nodes: Vec<NodeStatus>,
}

/// What an agent of 0.1.0 reads of every answer that is no success.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub struct ErrorBody {
    pub error: String,
}
