//! A step on the volume: waited for as long as something moves and until the pod is told to stop, and tried again as long as its
//! errors may pass.

use std::fmt::Display;
use std::time::Duration;

use thiserror::Error;
use tokio::time::sleep;

use crate::base::limits;
use crate::base::retry::{HasOutlook, Retries};
use crate::base::signals::{Sent, Signals};
use crate::base::step_thread;
use crate::base::volume_wait::VolumeWait;
use crate::base::watchdog::Watchdog;

/// Why a step's outcome is not known. It may go on in a thread of its own for as long as the volume likes.
#[derive(Debug, Error)]
pub enum Abandoned {
    /// The pod was told to stop.
    #[error("signal {} came first", .0.number)]
    Signal(Sent),
    /// The volume takes too long.
    #[error("the volume did not answer within {0:?}")]
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
    wait: VolumeWait,
    /// Whether the volume was in trouble since that was asked last.
    troubled: bool,
}

impl<'a> BoundedSteps<'a> {
    /// Steps during which the volume may be silent for so long, and in trouble for so long, and which are tried again for as long.
    pub fn new(signals: &'a Signals, limit: Duration) -> Self {
        Self { signals, limit, retries: Retries::new(limit), wait: VolumeWait::new(limit), troubled: false }
    }

    /// The same for a restore ([`Retries::of_a_restore`]).
    pub fn of_a_restore(signals: &'a Signals, limit: Duration) -> Self {
        Self { retries: Retries::of_a_restore(limit), ..Self::new(signals, limit) }
    }

    /// The same, that wait so long for a volume that is silent or in trouble.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { limit: patience, wait: VolumeWait::new(patience), ..self }
    }

    /// Whether the volume was in trouble since this was asked last.
    pub fn was_troubled(&mut self) -> bool {
        std::mem::take(&mut self.troubled)
    }

    /// Whether the volume is in trouble now.
    pub fn is_waiting(&self) -> bool {
        self.wait.is_on()
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
        loop {
            let error = match self.once(make()).await? {
                Ok(done) => {
                    self.wait.is_over();
                    return Ok(done);
                }
                Err(error) => error,
            };
            self.before_another(error).await?;
        }
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
            match step().await {
                Err(StepError::Failed(error)) => self.before_another(error).await?,
                other => {
                    if other.is_ok() {
                        self.wait.is_over();
                    }
                    return other;
                }
            }
        }
    }

    /// Waits a moment after a failure, if it is worth while to try again.
    async fn before_another<E: HasOutlook + Display>(&mut self, error: E) -> Result<(), StepError<E>> {
        let pause = if error.is_of_the_volume() {
            self.troubled = true;
            self.wait.goes_on(&error.to_string(), Duration::ZERO).then(|| self.wait.pause())
        } else {
            self.retries.pause(error.outlook(), &error)
        };
        let Some(pause) = pause else { return Err(StepError::Failed(error)) };
        Ok(self.pause(pause).await?)
    }

    /// Does `step`, which blocks, once. It may take as long as it likes, as long as something moves.
    ///
    /// # Errors
    /// The outcome is not known.
    pub async fn once<T: Send + 'static>(
        &mut self,
        step: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Abandoned> {
        let (signals, watchdog) = (self.signals, Watchdog::default());
        let watched = watchdog.clone();
        tokio::select! {
            done = step_thread::run(move || watched.watch(step)) => done.map_err(|error| Abandoned::Broken(error.to_string())),
            abandoned = self.silence(&watchdog) => Err(abandoned),
            abandoned = told_to_stop(signals) => Err(abandoned),
        }
    }

    /// Ends when nothing has moved for too long.
    async fn silence(&mut self, watchdog: &Watchdog) -> Abandoned {
        let look = limits::SILENCE_TOLD.min(self.limit);
        let mut last = watchdog.seen();
        loop {
            sleep(look).await;
            let seen = watchdog.seen();
            if seen != last {
                last = seen;
                self.wait.is_over();
                continue;
            }
            self.troubled = true;
            if !self.wait.goes_on(&format!("it has not answered for {look:?}"), look) {
                return Abandoned::NoAnswer(self.limit);
            }
        }
    }

    /// Gives back a signal that ended a wait of which nothing depends.
    pub fn give_back(&self, sent: Sent) {
        self.signals.give_back(sent);
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

/// Waits until the pod is told to stop.
pub async fn told_to_stop(signals: &Signals) -> Abandoned {
    signals.to_end().await.map_or_else(|error| Abandoned::Broken(error.to_string()), Abandoned::Signal)
}
