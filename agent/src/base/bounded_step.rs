//! A step on the volume: waited for at most so long and until the pod is told to stop, and tried again as long as its errors may
//! pass.

use std::fmt::Display;
use std::time::Duration;

use thiserror::Error;
use tokio::time::sleep;

use crate::base::retry::{HasOutlook, Retries};
use crate::base::signals::Signals;
use crate::base::step_thread;

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

/// Why a step did not succeed.
#[derive(Debug, Error)]
pub enum StepError<E> {
    /// It failed.
    #[error(transparent)]
    Failed(E),
    /// Nobody knows.
    #[error(transparent)]
    Abandoned(#[from] Abandoned),
}

/// Steps that share a limit for each, the signals that end the wait, and one account of retries.
pub struct BoundedSteps<'a> {
    signals: &'a Signals,
    limit: Duration,
    retries: Retries,
}

impl<'a> BoundedSteps<'a> {
    /// Steps that may take so long each, and are tried again for as long from their first failure on.
    pub fn new(signals: &'a Signals, limit: Duration) -> Self {
        Self { signals, limit, retries: Retries::new(limit) }
    }

    /// The same for a restore ([`Retries::of_a_restore`]).
    pub fn of_a_restore(signals: &'a Signals, limit: Duration) -> Self {
        Self { signals, limit, retries: Retries::of_a_restore(limit) }
    }

    /// Does the step that `make` makes, again as long as the volume may recover.
    ///
    /// # Errors
    /// The step's own, or its outcome is not known.
    pub async fn run<T, E, S>(&mut self, mut make: impl FnMut() -> S) -> Result<T, StepError<E>>
    where
        T: Send + 'static,
        E: HasOutlook + Display + Send + 'static,
        S: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let (signals, limit) = (self.signals, self.limit);
        self.retry(async || once(signals, limit, make()).await?.map_err(StepError::Failed)).await
    }

    /// The same for a step that is bounded in a way of its own.
    ///
    /// # Errors
    /// The step's own, or its outcome is not known.
    pub async fn retry<T, E: HasOutlook + Display>(
        &mut self,
        mut step: impl AsyncFnMut() -> Result<T, StepError<E>>,
    ) -> Result<T, StepError<E>> {
        loop {
            let error = match step().await {
                Err(StepError::Failed(error)) => error,
                other => return other,
            };
            let Some(pause) = self.retries.pause(error.outlook(), &error) else {
                return Err(StepError::Failed(error));
            };
            self.pause(pause).await?;
        }
    }

    /// Does `step`, which blocks, once.
    ///
    /// # Errors
    /// The outcome is not known.
    pub async fn once<T: Send + 'static>(
        &self,
        step: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Abandoned> {
        once(self.signals, self.limit, step).await
    }

    /// Waits between two looks.
    ///
    /// # Errors
    /// The pod is told to stop.
    pub async fn pause(&self, pause: Duration) -> Result<(), Abandoned> {
        tokio::select! {
            () = sleep(pause) => Ok(()),
            abandoned = told_to_stop(self.signals) => Err(abandoned),
        }
    }
}

async fn once<T: Send + 'static>(
    signals: &Signals,
    limit: Duration,
    step: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Abandoned> {
    tokio::select! {
        done = step_thread::run(step) => done.map_err(|error| Abandoned::Broken(error.to_string())),
        () = sleep(limit) => Err(Abandoned::NoAnswer(limit)),
        abandoned = told_to_stop(signals) => Err(abandoned),
    }
}

async fn told_to_stop(signals: &Signals) -> Abandoned {
    signals.to_end().await.map_or_else(|error| Abandoned::Broken(error.to_string()), Abandoned::Signal)
}
