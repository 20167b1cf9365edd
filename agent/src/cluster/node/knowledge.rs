//! What is known of the node, or why nothing is.

use std::sync::Arc;

use crik_api::NodeStatus;

use crate::cluster::controller::unknown::Unlearned;

/// What is known of the node: its status, or why there is none.
pub type Knowledge = Result<NodeStatus, Arc<Unlearned>>;

/// That nothing was asked yet.
pub fn not_yet() -> Knowledge {
    Err(Arc::new(Unlearned::NotYet))
}
