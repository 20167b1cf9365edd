//! What is known of the node, or why nothing is.

use std::sync::Arc;

use crik_api::{NodeState, NodeStatus};

use crate::cluster::controller::unknown::Unknown;

/// What is known of the node: its status, or why there is none.
pub type Knowledge = Result<NodeStatus, Arc<Unknown>>;

/// Whether the controller sees the node: who lost sight of it does not see it recover either.
pub fn is_seen(status: &NodeStatus) -> bool {
    !status.stale && status.state != NodeState::Unknown
}

/// That nothing was asked yet.
pub fn not_yet() -> Knowledge {
    Err(Arc::new(Unknown::NotYet))
}
