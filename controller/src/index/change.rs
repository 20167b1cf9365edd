//! What subscribers are told.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use crik_api::{NodeState, NodeStatus};

/// A change that can be seen from outside.
#[derive(Debug, Clone)]
pub enum Change {
    /// A node's status changed.
    Node(Arc<NodeChange>),
    /// The source was lost, so that every status is stale now, or it is back. Every node's version has changed.
    Source,
}

/// How a node's status changed.
#[derive(Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// The state before; `unknown` if the node was not known.
    pub was: NodeState,
    /// The status now; `unknown` if the node is forgotten.
    pub status: NodeStatus,
    /// The UID of the Node object.
    pub uid: Box<str>,
    /// The boot that the change belongs to.
    pub boot_id: Box<str>,
    /// What is sent of it, once somebody has written that.
    pub text: OnceLock<Bytes>,
}

impl NodeChange {
    /// What is sent of it, which is the same for all: the first who needs it writes it.
    pub fn written(&self, write: impl FnOnce(&NodeStatus) -> Bytes) -> Bytes {
        self.text.get_or_init(|| write(&self.status)).clone()
    }
}
