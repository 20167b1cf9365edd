//! Waits for the image directory: takes it, or follows `onClaimed` when another pod holds it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::base::bounded_step::{Abandoned, BoundedSteps, StepError};
use crate::base::limits;
use crate::base::signals::Signals;
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
    loop {
        let take = || {
            let (path, wish) = (path.to_owned(), wish.clone());
            move || ImageDir::open(&path).map_err(HoldError::from).and_then(|dir| Hold::take(&dir, &wish))
        };
        match steps.run(take).await {
            Ok(hold) => return Ok(hold),
            Err(StepError::Failed(HoldError::Held(seen))) => wish.expired = other.observe(&seen, config)?,
            // The next look will find one of them.
            Err(StepError::Failed(HoldError::Contended)) => {}
            Err(StepError::Failed(HoldError::Volume(error))) => return Err(error.into()),
            Err(StepError::Abandoned(abandoned)) => return Err(abandoned.into()),
        }
        steps.pause(limits::HOLD_POLL).await?;
    }
}

/// What was seen of the pod that holds the image directory.
#[derive(Default)]
struct Other {
    first: Option<(Seen, Instant)>,
    silence: Silence,
}

impl Other {
    /// The number of the hold if it has expired. An error if it is time to follow `onClaimed`.
    fn observe(&mut self, seen: &Seen, config: &Config) -> Result<Option<u64>, AcquireError> {
        let (first, since) = self.first.get_or_insert_with(|| {
            tracing::info!(step = "hold", "the image directory is held by {}; waiting for it", seen.name());
            (seen.clone(), Instant::now())
        });
        // Another number is a pod that has taken it just now.
        let alive = first != seen;
        let waited = since.elapsed();
        if alive && (config.on_claimed != OnClaimed::Wait || waited >= config.claim_timeout) {
            return Err(AcquireError::Held { holder: seen.name(), waited: told(waited) });
        }
        let silent = self.silence.observe(seen, Instant::now());
        Ok((silent >= seen.expiry(config.claim_expiry)).then_some(seen.number))
    }
}

fn told(waited: Duration) -> String {
    format!(" (waited {} s)", waited.as_secs())
}
