//! Waits for the image directory: takes it, or follows `onClaimed` when another pod holds it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::bounded_step::{Abandoned, BoundedSteps, StepError};
use crate::base::fault_points::hurried;
use crate::base::signals::Signals;
use crate::base::units::whole_ms;
use crate::base::{limits, step_thread};
use crate::config::{Config, OnClaimed};
use crate::store::image_dir::hold::{Hold, HoldError, Wish};
use crate::store::image_dir::holder::{Seen, Silence};
use crate::store::image_dir::pod::Pod;
use crate::store::image_dir::{ImageDir, ImageDirError};

/// Why this pod does not hold the image directory.
#[derive(Debug, Error)]
pub enum AcquireError {
    /// Another pod has it, and lives.
    #[error(
        "the image directory is held by {holder}, which is alive{waited}; give each replica its own, such as \
         /checkpoints/${{POD_NAME}}, or see onClaimed"
    )]
    Held {
        /// The other pod.
        holder: String,
        /// For how long it was waited for, as part of the message.
        waited: String,
    },
    /// Others take it again and again.
    #[error("{}{waited}", HoldError::Contended)]
    Contended {
        /// For how long it was tried, as part of the message.
        waited: String,
    },
    /// It takes too long, or the pod was told to stop.
    #[error(transparent)]
    Abandoned(#[from] Abandoned),
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

/// Takes the image directory at `path`. While another pod holds it that may be gone, waits until that is known; while one
/// that lives holds it, waits as long as `onClaimed` says.
///
/// However long it waits, that uses up no process ids: all threads are there before.
///
/// # Errors
/// It is not ours. With `onClaimed: fresh` and `fail` that is [`AcquireError::Held`] as soon as the other pod is seen
/// alive.
pub async fn acquire(
    path: &Path,
    config: &Config,
    pod: &Pod,
    signals: &Signals,
) -> Result<Arc<Hold>, AcquireError> {
    let mut wish = Wish { pod: pod.clone(), expiry: config.claim_expiry, expired: None };
    let mut other = Other::default();
    let mut steps = BoundedSteps::new(signals, config.volume_timeout);
    prepare_threads();
    loop {
        let mut under_way = None;
        let take = || {
            let (path, wish) = (path.to_owned(), wish.clone());
            let (over, is_over) = oneshot::channel();
            under_way = Some(is_over);
            move || {
                let taken =
                    ImageDir::open(&path).map_err(HoldError::from).and_then(|dir| Hold::take(&dir, &wish));
                taken.map(|hold| Taken { hold, is_kept: false, _over: over })
            }
        };
        match steps.run(take).await {
            Ok(taken) => {
                other.tell_taken();
                return Ok(taken.keep());
            }
            Err(StepError::Failed(HoldError::Held(seen))) => wish.expired = other.observe(&seen, config)?,
            Err(StepError::Failed(HoldError::Contended)) => other.contended(config)?,
            Err(StepError::Failed(HoldError::Volume(error))) => return Err(error.into()),
            Err(StepError::Abandoned(abandoned)) => {
                wait_for_the_end(under_way).await;
                return Err(abandoned.into());
            }
        }
        steps.pause(hurried(limits::HOLD_POLL)).await?;
    }
}

/// What a wait and the restore after it need; one that is made later may get an id that a process of the tree has.
fn prepare_threads() {
    if let Err(error) = step_thread::prepare(limits::THREADS_OF_A_WAIT) {
        tracing::warn!("threads are made when they are needed: {error}");
    }
    // The runtime makes one for each that waits, if none is idle.
    let waiting: Vec<_> = (0..limits::BLOCKING_THREADS)
        .map(|_| {
            let (end, until) = std::sync::mpsc::channel::<()>();
            spawn_blocking(move || until.recv());
            end
        })
        .collect();
    drop(waiting);
}

/// A hold that is given back if nobody is left who wanted it: the pod may have been told to stop while it was taken, and the next one
/// would wait until it expires.
struct Taken {
    hold: Arc<Hold>,
    is_kept: bool,
    /// Tells, when it is dropped, that nothing more is done.
    _over: oneshot::Sender<()>,
}

impl Taken {
    fn keep(mut self) -> Arc<Hold> {
        self.is_kept = true;
        Arc::clone(&self.hold)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.is_kept {
            self.hold.release();
        }
    }
}

/// A volume that hangs holds up nobody for ever.
async fn wait_for_the_end(under_way: Option<oneshot::Receiver<()>>) {
    if let Some(is_over) = under_way {
        let _ = timeout(limits::CLEAN_UP_PATIENCE, is_over).await;
    }
}

/// What was seen of the pod that holds the image directory.
#[derive(Default)]
struct Other {
    first: Option<(Seen, Instant)>,
    silence: Silence,
    looks: u64,
    contended: Option<Instant>,
}

impl Other {
    /// The number of the hold if it has expired. An error if it is time to follow `onClaimed`.
    fn observe(&mut self, seen: &Seen, config: &Config) -> Result<Option<u64>, AcquireError> {
        let (first, since) = self.first.get_or_insert_with(|| {
            tracing::info!(step = "hold", "the image directory is held by {}; waiting for it", seen.name());
            (seen.clone(), Instant::now())
        });
        (self.looks, self.contended) = (self.looks + 1, None);
        // Another number is a pod that has taken it just now.
        let alive = first != seen;
        let waited = since.elapsed();
        if alive && (config.on_claimed != OnClaimed::Wait || waited >= config.claim_timeout) {
            return Err(AcquireError::Held { holder: seen.name(), waited: told(waited) });
        }
        let silent = self.silence.observe(seen, Instant::now());
        Ok((silent >= seen.expiry(config.claim_expiry)).then_some(seen.number))
    }

    /// Usually the next look will find one of them.
    fn contended(&mut self, config: &Config) -> Result<(), AcquireError> {
        let waited = self.contended.get_or_insert_with(Instant::now).elapsed();
        if waited >= config.claim_timeout {
            Err(AcquireError::Contended { waited: told(waited) })
        } else {
            Ok(())
        }
    }

    fn tell_taken(&self) {
        if let Some((_, since)) = &self.first {
            let (waited, looks) = (since.elapsed(), self.looks);
            tracing::info!(
                step = "hold",
                ms = whole_ms(waited),
                looks,
                "the image directory is ours{}",
                told(waited)
            );
        }
    }
}

fn told(waited: Duration) -> String {
    format!(" (waited {} s)", waited.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_again_and_again_is_not_tried_without_end() {
        let config = |claim_timeout| Config { claim_timeout, ..Config::default() };
        assert!(Other::default().contended(&config(Duration::from_secs(60))).is_ok());
        let error = Other::default().contended(&config(Duration::ZERO)).unwrap_err().to_string();
        assert!(
            error.contains("by other pods again and again") && error.ends_with("(waited 0 s)"),
            "{error}"
        );
    }
}
