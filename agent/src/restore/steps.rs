//! A step of a start: tried again, given up, and why.

use std::time::Duration;

use crate::base::bounded_step::{Abandoned, within};
use crate::base::retry::Retries;
use crate::base::signals::Signals;

/// One step, again as long as the volume may recover.
///
/// # Errors
/// The step's own, or the pod was told to stop.
pub async fn persistently<T>(
    retries: &mut Retries,
    signals: &Signals,
    mut step: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    loop {
        match step().await {
            Err(Failure::Skip(reason)) if retries.again(&reason, signals).await? => {}
            other => return other,
        }
    }
}

/// A step that reads or writes the volume.
///
/// # Errors
/// The step's own, or why its outcome is not known.
pub async fn on_volume<T: Send + 'static, E: ToString + Send + 'static>(
    signals: &Signals,
    limit: Duration,
    step: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    within(signals, limit, step).await?.map_err(|error| Failure::Skip(error.to_string()))
}

/// Why a rung was left.
pub enum Failure {
    /// For a reason of its own; the next one may work.
    Skip(String),
    /// The volume does not answer, and would not at the next rung.
    NoAnswer(String),
    /// The pod was told to stop.
    Stopped(i32),
}

impl From<Abandoned> for Failure {
    fn from(abandoned: Abandoned) -> Self {
        match abandoned {
            Abandoned::Signal(signal) => Self::Stopped(signal),
            Abandoned::NoAnswer(_) => Self::NoAnswer(abandoned.to_string()),
            Abandoned::Broken(_) => Self::Skip(abandoned.to_string()),
        }
    }
}
