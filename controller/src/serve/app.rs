//! What every handler has.

use std::sync::Arc;

use tokio::sync::watch;

use super::agents::Agents;
use super::metrics::Metrics;
use crate::auth::Auth;
use crate::connections::Places;
use crate::index::Index;
use crate::pods::Pods;

/// What every handler has.
#[derive(Clone)]
pub struct App(pub(super) Arc<Shared>);

/// What they share.
pub struct Shared {
    /// The nodes.
    pub index: Arc<Index>,
    /// Becomes true at a shutdown, which ends waiting polls and streams.
    pub stopping: watch::Receiver<bool>,
    /// None if everyone may read everything.
    pub auth: Option<Auth>,
    /// None if nothing is told of pods.
    pub pods: Option<Pods>,
    /// What is counted as it happens.
    pub metrics: Metrics,
    /// What those say that wait.
    pub agents: Agents,
    /// Places for waiting polls.
    pub polls: Places,
    /// Places for lists and streams that are being sent.
    pub streams: Places,
    /// Places for connections.
    pub connections: Places,
}
