//! Until when the steps of a checkpoint go on.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::base::headway::Headway;
use crate::base::limits;
use crate::config::Config;
use crate::tree::criu::give_up;

/// How long a stop may take before the application must be told to stop: where the pod has only that `grace`, the application keeps the
/// share that it has of the usual one.
pub fn patience(config: &Config, grace: Option<Duration>) -> Duration {
    let (usual, reserve) = (config.grace_period, config.reserve);
    let grace = grace.map_or(usual, |grace| grace.min(usual));
    let all = grace.saturating_sub(reserve.mul_f64(grace.as_secs_f64() / usual.as_secs_f64()));
    // The reserve is the application's, so what it takes to give a dump up comes before it.
    all - (limits::FAIL_PATIENCE + limits::CANCEL_PATIENCE).min(all / limits::GIVE_UP_SHARE)
}

/// Until when the steps of a checkpoint may go on.
pub struct Deadlines {
    /// The dump.
    pub frozen: Instant,
    /// The commit, if anybody waits for it.
    pub durable: Option<Instant>,
    /// Told when something more important has come.
    pub hurry: Arc<Notify>,
}

impl Deadlines {
    /// Returns the reason to give the dump up, once there is one.
    pub async fn until_frozen(&self) -> Error {
        self.late(Some(self.frozen)).await
    }

    /// Returns the reason to give the commit up, once there is one.
    pub async fn until_durable(&self) -> Error {
        self.late(self.durable).await
    }

    /// Returns once there is a hurry.
    pub async fn until_hurry(&self) -> Error {
        self.late(None).await
    }

    async fn late(&self, deadline: Option<Instant>) -> Error {
        let over = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.hurry.notified() => anyhow!("it was given up for something more important"),
            () = over => anyhow!("it would not be done within gracePeriod less reserve; is the volume too slow?"),
        }
    }
}

/// Waits for a step until there is a reason to give it up. Once the commit has begun it is waited for: the checkpoint may
/// exist, so the application must not go on without knowing.
///
/// # Errors
/// The step's own, or the reason.
pub async fn until<T>(
    mut step: JoinHandle<Result<T>>,
    reason: impl Future<Output = Error>,
    headway: &Headway,
) -> Result<T> {
    let reason = tokio::select! {
        done = &mut step => return done?,
        reason = reason => reason,
    };
    if !headway.give_up() {
        return step.await?;
    }
    drop(give_up(step).await);
    Err(reason)
}
