//! The end of the process, in two steps: it is told to stop, tells that to whoever comes, and goes on serving; and then it stops.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::base::delayed::delayed;
use crate::base::limits;
use crate::base::random::up_to;

/// The word to stop, for those who serve a request.
#[derive(Clone)]
pub struct Stopping {
    told: watch::Receiver<bool>,
    delay: Duration,
}

impl Stopping {
    /// It has come when `told` is true; from then on all is served for `delay`.
    pub fn new(told: watch::Receiver<bool>, delay: Duration) -> Self {
        Self { told, delay }
    }

    /// Whether it has come.
    pub fn is_told(&self) -> bool {
        // Nothing else is ever said, and this takes no lock, which each request would have to.
        self.told.has_changed().unwrap_or(true)
    }

    /// When the one who asks has to go who waits here: they are sent away one after the other. Returns when the word has come.
    pub async fn leaves(&self) -> Instant {
        let mut told = self.told.clone();
        let _ = told.wait_for(|told| *told).await;
        Instant::now() + up_to(limits::LEAVE_SPREAD.min(self.delay / 2))
    }

    /// Becomes true when nothing more is served.
    pub fn over(&self) -> watch::Receiver<bool> {
        delayed(self.told.clone(), self.delay)
    }
}
