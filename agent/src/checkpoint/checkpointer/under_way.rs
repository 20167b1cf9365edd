//! What is known of a checkpoint that is being made durable.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::headway::Headway;

/// A checkpoint that is being made durable.
pub struct UnderWay {
    /// How long its dump took.
    pub dumped: Duration,
    /// When that was over.
    pub since: Instant,
    /// How far it is.
    pub headway: Arc<Headway>,
}
