//! What travels between the agent and the controller, and nothing else.
//!
//! The contract is JSON over HTTP. Fields are only ever added, and a reader ignores what it does not know, so
//! that an agent and a controller of different releases understand each other.

pub mod configuration;
mod problem;
pub mod report;
pub mod workload;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::problem::{ErrorBody, ErrorCode, PROBLEM_JSON};

/// The port on which the controller serves, the same as that of the Go program.
pub const DEFAULT_PORT: u16 = 9376;

/// The header of a question about a node in which an agent says whether its program is protected ([`Protection`]).
pub const PROTECTION_HEADER: &str = "crik-protection";

/// Whether the program of an agent could go on elsewhere, as the agent has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protection {
    /// Checkpoints can be taken and resumed elsewhere.
    Protected,
    /// Something stands in the way of that.
    NotProtected,
}

impl Protection {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Protected, Self::NotProtected];

    /// The word on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::NotProtected => "not-protected",
        }
    }
}

impl FromStr for Protection {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|one| one.as_str() == word).ok_or(UnknownWord)
    }
}

/// What the controller says of a node.
///
/// The order is the order of certainty that the node goes away, `Unknown` first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum NodeState {
    /// Never seen, or ready when the controller lost its source of Nodes, or a state that this release does not know.
    Unknown,
    /// Seen, and nothing says that it goes away.
    Ready,
    /// No new pods are scheduled to it, and nothing else is known.
    Cordoned,
    /// It is not well, or was not heard of, and so its pods are deleted; this can be taken back. Readers of 0.1.0 take it for
    /// `Unknown`.
    Evicting,
    /// Its pods are being moved away; this can be taken back.
    Draining,
    /// It goes away for certain.
    ShuttingDown,
    /// Its Node object was known and has been deleted.
    Gone,
}

impl NodeState {
    /// All states, in their order.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::Ready,
        Self::Cordoned,
        Self::Evicting,
        Self::Draining,
        Self::ShuttingDown,
        Self::Gone,
    ];

    /// The word on the wire and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ready => "ready",
            Self::Cordoned => "cordoned",
            Self::Evicting => "evicting",
            Self::Draining => "draining",
            Self::ShuttingDown => "shutting-down",
            Self::Gone => "gone",
        }
    }
}

/// A word that names none of the states.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownWord;

impl FromStr for NodeState {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(UnknownWord)
    }
}

impl From<String> for NodeState {
    /// Reads a word from the wire; one that a later release added is `Unknown` to this one.
    fn from(word: String) -> Self {
        word.parse().unwrap_or(Self::Unknown)
    }
}

impl From<NodeState> for &'static str {
    fn from(state: NodeState) -> Self {
        state.as_str()
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One signal that was observed on a Node object or on a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The signal's name, for example `kubelet-shutdown`.
    pub signal: String,
    /// What stands on the object, in words a person can search for.
    pub observed: String,
}

/// The answer to `GET /v1/nodes/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The node's name, as asked for.
    pub name: String,
    /// The node's state.
    pub state: NodeState,
    /// Changes whenever this node's status does. Opaque: compare for equality only, since each controller
    /// replica counts for itself.
    #[serde(default)]
    pub version: String,
    /// The signals that led to the state; empty for `ready`, and for a node that was never seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Signals that make the node a candidate only. They never change the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Reason>,
    /// True when the controller has lost its source of Nodes, so that the state may be old.
    #[serde(default)]
    pub stale: bool,
}

/// What the controller says of a pod: who ends it, if anybody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum PodState {
    /// A state that this release does not know.
    Unknown,
    /// Nobody ends the pod. If a container of it is told to stop, it alone is, as by a liveness probe.
    Running,
    /// Somebody other than its owner ends it: it has to make room, or leave its node.
    Disrupted,
    /// Its owner ends it: it was deleted, by a person, a rollout or a controller, or its own deadline is over.
    Deleted,
}

impl PodState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Running, Self::Disrupted, Self::Deleted];

    /// The word on the wire and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Running => "running",
            Self::Disrupted => "disrupted",
            Self::Deleted => "deleted",
        }
    }
}

impl From<String> for PodState {
    /// Reads a word from the wire; one that a later release added is `Unknown` to this one.
    fn from(word: String) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == word).unwrap_or(Self::Unknown)
    }
}

impl From<PodState> for &'static str {
    fn from(state: PodState) -> Self {
        state.as_str()
    }
}

impl fmt::Display for PodState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to `GET /v1/pods/{namespace}/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// The pod's namespace, as asked for.
    pub namespace: String,
    /// The pod's name, as asked for.
    pub name: String,
    /// Tells the pod from another one of its name.
    #[serde(default)]
    pub uid: String,
    /// The pod's state.
    pub state: PodState,
    /// What led to the state; empty for `running`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// How long the containers of a pod that was deleted have from the first hook or signal to the SIGKILL, in seconds:
    /// `metadata.deletionGracePeriodSeconds`, which whoever deletes or evicts it may make shorter than the pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_grace_seconds: Option<u64>,
    /// How much of that was over when this was answered, in seconds, by the API server's clock; told if a container of the pod has a
    /// preStop hook, which the kubelet runs before it sends a SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_grace_used_seconds: Option<u64>,
}

/// The answer to `GET /v1/nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    /// All nodes that are known or recently gone, by name; or those of them that were asked for.
    pub nodes: Vec<NodeStatus>,
    /// What gives the next page as `?continue=`, if this is not the last one. Opaque.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What the stream of changes says when its client reads too slowly. All nodes follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lagged {
    /// How many changes were not told.
    pub missed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_travels_under_its_own_word() {
        for state in NodeState::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<NodeState>(&json).unwrap(), state);
        }
    }

    #[test]
    fn a_state_of_a_later_release_reads_as_unknown() {
        assert_eq!(serde_json::from_str::<NodeState>("\"hibernating\"").unwrap(), NodeState::Unknown);
    }

    #[test]
    fn every_state_of_a_pod_travels_under_its_own_word() {
        for state in PodState::ALL {
            let json = serde_json::to_string(&state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
            assert_eq!(serde_json::from_str::<PodState>(&json).unwrap(), state);
        }
        assert_eq!(serde_json::from_str::<PodState>("\"hibernating\"").unwrap(), PodState::Unknown);
    }

    #[test]
    fn an_answer_of_two_fields_is_enough() {
        let status: NodeStatus = serde_json::from_str(r#"{"name":"a","state":"shutting-down"}"#).unwrap();
        assert_eq!(status.state, NodeState::ShuttingDown);
        assert!(status.reasons.is_empty() && !status.stale);
    }
}
