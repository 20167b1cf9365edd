//! What every handler has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::agents::Agents;
use super::lists::Lists;
use super::metrics::{Metrics, Routes};
use super::stopping::Stopping;
use crate::auth::Auth;
use crate::base::limits;
use crate::connections::{Places, Room};
use crate::index::Index;
use crate::pods::Pods;
use crate::reports::Reports;
use crate::workloads::Workloads;

/// What every handler has.
#[derive(Clone)]
pub struct App(pub(super) Arc<Shared>);

/// What takes reports.
pub struct Reporting {
    /// Whose they are, which is always asked.
    pub auth: Arc<Auth>,
    /// What becomes of them.
    pub reports: Arc<Reports>,
    /// For those that are being read.
    pub reading: Semaphore,
}

impl Reporting {
    /// By these.
    pub fn new(auth: Arc<Auth>, reports: Reports) -> Self {
        let reading = Semaphore::new(limits::REPORTS_READ_AT_ONCE);
        Self { auth, reports: Arc::new(reports), reading }
    }
}

/// What they share.
pub struct Shared {
    /// The nodes.
    pub index: Arc<Index>,
    /// The word to stop, which ends waiting polls and streams.
    pub stopping: Stopping,
    /// None if everyone may read everything.
    pub auth: Option<Arc<Auth>>,
    /// None if nothing is told of pods.
    pub pods: Option<Pods>,
    /// The labelled pods; none if they are not watched.
    pub workloads: Option<Arc<Workloads>>,
    /// For how long evictions of those are held up that say nothing.
    pub eviction_deadline: Duration,
    /// Takes reports; none if they are not taken.
    pub reporting: Option<Reporting>,
    /// What is counted of each route.
    pub routes: Routes,
    /// What is counted as it happens.
    pub metrics: Metrics,
    /// What those say that wait.
    pub agents: Agents,
    /// Places for waiting polls.
    pub polls: Places,
    /// The text of all nodes.
    pub texts: Lists,
    /// Places for lists that are being sent.
    pub lists: Room,
    /// Places for streams.
    pub streams: Room,
    /// Places for connections.
    pub connections: Places,
}
