//! Steps that may hang with the volume, and for which nobody waits for ever.

use std::time::Duration;

use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::signals::Signals;

/// Why a step's outcome is not known. It may go on in a thread of its own for as long as the volume likes.
#[derive(Debug, Error)]
pub enum Abandoned {
    /// The pod was told to stop.
    #[error("signal {0} came first")]
    Signal(i32),
    /// The volume takes too long.
    #[error("the volume did not answer within {0:?} (volumeTimeout)")]
    NoAnswer(Duration),
    /// The step panicked, or the signals cannot be read.
    #[error("internal error: {0}")]
    Broken(String),
}

/// Does `step`, which blocks, and waits for it at most for `limit` and until the pod is told to stop.
///
/// # Errors
/// The outcome is not known.
pub async fn patiently<T: Send + 'static>(
    signals: &Signals,
    limit: Duration,
    step: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Abandoned> {
    let broken = |error: &dyn std::error::Error| Abandoned::Broken(error.to_string());
    tokio::select! {
        done = spawn_blocking(step) => done.map_err(|error| broken(&error)),
        () = sleep(limit) => Err(Abandoned::NoAnswer(limit)),
        signal = signals.to_end() => Err(signal.map_or_else(|error| broken(&error), Abandoned::Signal)),
    }
}
