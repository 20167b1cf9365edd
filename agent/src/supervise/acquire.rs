//! Waits for the image directory: takes it, or follows `onClaimed` when another pod holds it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crik_store::image_dir::hold::{Hold, HoldError, Wish};
use crik_store::image_dir::holder::{Seen, Silence};
use crik_store::image_dir::pod::Pod;
use crik_store::image_dir::resumable::resumable;
use crik_store::image_dir::waiting::Waited;
use crik_store::image_dir::{ImageDir, ImageDirError};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::base::bounded_step::{Abandoned, BoundedSteps, StepError};
use crate::base::fault_points::hurried;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::signals::Signals;
use crate::base::units::{roughly, whole_ms};
use crate::base::{limits, step_thread};
use crate::config::{Config, OnClaimed};

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
    /// The volume fails, and is known to have nothing to resume.
    #[error("{0}; nothing is there to resume")]
    Empty(ImageDirError),
}

impl AcquireError {
    /// Whether it is not known what there is to resume.
    pub fn is_unread(&self) -> bool {
        match self {
            Self::Abandoned(abandoned) => matches!(abandoned, Abandoned::NoAnswer(_)),
            Self::Volume(error) => error.is_of_the_volume(),
            Self::Held { .. } | Self::Contended { .. } | Self::Empty(_) => false,
        }
    }
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
    let mut other: Option<Other> = None;
    let mut contention = Contention::default();
    let mut steps = BoundedSteps::new(signals, config.volume_timeout).waiting(config.volume_patience());
    let settled = Instant::now() + config.volume_timeout;
    prepare_threads();
    loop {
        let (waited, mut under_way) = (other.as_mut().and_then(Other::note_due), None);
        let take = || {
            let (path, wish, waited) = (path.to_owned(), wish.clone(), waited.clone());
            let (over, is_over) = oneshot::channel();
            under_way = Some(is_over);
            move || {
                let taken =
                    take(&path, &wish, waited.as_ref()).map_err(|error| or_empty(error, &path, settled));
                taken.map(|hold| Taken { hold, is_kept: false, _over: over })
            }
        };
        match steps.run(take).await {
            Ok(taken) => {
                other.iter().for_each(Other::tell_taken);
                return Ok(taken.keep());
            }
            Err(StepError::Failed(HoldError::Held(seen))) if other.is_none() => {
                let (path, pod) = (path.to_owned(), pod.clone());
                let before = steps.once(move || ImageDir::look(&path).ok()?.waited(&pod)).await?;
                other = Some(Other::met(*seen, before, config));
                continue;
            }
            Err(StepError::Failed(HoldError::Held(seen))) => {
                contention = Contention::default();
                wish.expired = other.as_mut().map_or(Ok(None), |other| other.observe(&seen, config))?;
            }
            Err(StepError::Failed(HoldError::Contended)) => contention.again(config)?,
            Err(StepError::Failed(HoldError::Volume(error))) => return Err(error.into()),
            Err(StepError::Failed(HoldError::Empty(error))) => return Err(AcquireError::Empty(error)),
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

fn take(path: &Path, wish: &Wish, waited: Option<&Waited>) -> Result<Arc<Hold>, HoldError> {
    let dir = ImageDir::open(path)?;
    if let Some(Err(error)) = waited.map(|waited| dir.note_waited(&wish.pod, waited)) {
        tracing::debug!("the wait will begin anew in another container: {error}");
    }
    Hold::take(&dir, wish)
}

/// To look needs less of the volume than to hold: where nothing is, there is nothing to wait for. What may pass is given its time.
fn or_empty(error: HoldError, path: &Path, settled: Instant) -> HoldError {
    let HoldError::Volume(cause) = error else { return error };
    let is_final = cause.outlook() == Outlook::Lasting || Instant::now() >= settled;
    let is_empty =
        || ImageDir::look(path).and_then(|dir| resumable(&dir)).is_ok_and(|found| found.is_empty());
    if cause.is_of_the_volume() && is_final && is_empty() { HoldError::Empty(cause) } else { cause.into() }
}

/// What was seen of the pod that holds the image directory.
struct Other {
    /// As it was first seen, perhaps by an earlier container of this pod.
    first: Seen,
    last: Seen,
    since: Instant,
    /// For how long earlier containers have waited.
    before: Duration,
    silence: Silence,
    silent: Duration,
    noted: Option<Instant>,
    looks: u64,
}

impl Other {
    /// Sees it for the first time in this container, of whose pod an earlier one may have seen it `before`.
    fn met(seen: Seen, before: Option<Waited>, config: &Config) -> Self {
        let now = Instant::now();
        let of_it = before.filter(|before| before.number == seen.number);
        let first = of_it
            .as_ref()
            .map_or_else(|| seen.clone(), |before| Seen { renewed: before.renewed.clone(), ..seen.clone() });
        let unchanged = of_it.as_ref().filter(|_| first == seen);
        let silent = Duration::from_millis(unchanged.map_or(0, |before| before.silent_ms));
        let waited = Duration::from_millis(of_it.as_ref().map_or(0, |before| before.waited_ms));
        let other = Self {
            silence: Silence::after(&seen, silent, now),
            last: seen,
            first,
            since: now,
            before: waited,
            silent,
            noted: None,
            looks: 1,
        };
        other.tell(config);
        other
    }

    fn tell(&self, config: &Config) {
        let expiry = self.last.expiry(config.claim_expiry).saturating_sub(self.silent);
        let lives = match config.on_claimed {
            OnClaimed::Wait => format!(
                "{} at most if it lives (claimTimeout)",
                whole(config.claim_timeout.saturating_sub(self.before))
            ),
            OnClaimed::Fresh | OnClaimed::Fail => "no longer if it lives (onClaimed)".to_owned(),
        };
        let before = if self.before.is_zero() {
            String::new()
        } else {
            format!("; this pod has waited {} before", whole(self.before))
        };
        tracing::info!(
            step = "hold",
            "the image directory is held by {}; waiting for it: {} if it gives no sign of life (claimExpiry), {lives}{before}",
            self.last.name(),
            whole(expiry)
        );
    }

    /// The number of the hold if it has expired. An error if it is time to follow `onClaimed`.
    fn observe(&mut self, seen: &Seen, config: &Config) -> Result<Option<u64>, AcquireError> {
        self.looks += 1;
        // Another number is a pod that has taken it just now.
        let alive = self.first != *seen;
        let waited = self.waited();
        if alive && (config.on_claimed != OnClaimed::Wait || waited >= config.claim_timeout) {
            return Err(AcquireError::Held { holder: seen.name(), waited: told(waited) });
        }
        self.silent = self.silence.observe(seen, Instant::now());
        self.last = seen.clone();
        Ok((self.silent >= seen.expiry(config.claim_expiry)).then_some(seen.number))
    }

    fn waited(&self) -> Duration {
        self.before + self.since.elapsed()
    }

    /// What the next container of this pod is to know, once it is worth noting.
    fn note_due(&mut self) -> Option<Waited> {
        let is_due = self.noted.is_none_or(|noted| noted.elapsed() >= limits::WAITED_NOTED);
        is_due.then(|| {
            self.noted = Some(Instant::now());
            Waited {
                number: self.last.number,
                renewed: self.last.renewed.clone(),
                silent_ms: whole_ms(self.silent),
                waited_ms: whole_ms(self.waited()),
            }
        })
    }

    fn tell_taken(&self) {
        let (waited, looks) = (self.waited(), self.looks);
        tracing::info!(
            step = "hold",
            ms = whole_ms(waited),
            looks,
            "the image directory is ours{}",
            told(waited)
        );
    }
}

/// For how long others have taken the image directory again and again.
#[derive(Default)]
struct Contention(Option<Instant>);

impl Contention {
    /// Usually the next look will find one of them.
    fn again(&mut self, config: &Config) -> Result<(), AcquireError> {
        let waited = self.0.get_or_insert_with(Instant::now).elapsed();
        let is_over = waited >= config.claim_timeout;
        if is_over { Err(AcquireError::Contended { waited: told(waited) }) } else { Ok(()) }
    }
}

fn told(waited: Duration) -> String {
    format!(" (waited {} s)", waited.as_secs())
}

fn whole(duration: Duration) -> String {
    roughly(Duration::from_secs(duration.as_secs_f64().ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_again_and_again_is_not_tried_without_end() {
        let config = |claim_timeout| Config { claim_timeout, ..Config::default() };
        assert!(Contention::default().again(&config(Duration::from_secs(60))).is_ok());
        let error = Contention::default().again(&config(Duration::ZERO)).unwrap_err().to_string();
        assert!(
            error.contains("by other pods again and again") && error.ends_with("(waited 0 s)"),
            "{error}"
        );
    }
}
