//! The image of a trial that another pod is to resume: at most one, for a while, and never in the way of a checkpoint.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crik_store::image_dir::ImageDirError;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::retention;
use crik_store::image_dir::staging::{Purpose, Staging};

use crate::base::panics::locked;

/// What is kept, if anything is.
#[derive(Default)]
pub struct KeptTrial(Mutex<Option<Staging>>);

impl KeptTrial {
    /// Leaves it where it is. Returns where.
    pub fn keep(&self, staging: Staging) -> PathBuf {
        locked(&self.0).insert(staging).path().to_owned()
    }

    /// Removes it, if it is still the one at `path`. Blocks.
    ///
    /// # Errors
    /// The volume fails.
    pub fn expire(&self, path: &Path) -> Result<(), ImageDirError> {
        let expired = locked(&self.0).take_if(|kept| kept.path() == path);
        expired.map_or(Ok(()), |kept| kept.sweep())
    }

    /// Removes it. Blocks.
    ///
    /// # Errors
    /// The volume fails.
    pub fn remove(&self) -> Result<(), ImageDirError> {
        let kept = locked(&self.0).take();
        kept.map_or(Ok(()), |kept| kept.sweep())
    }

    /// Removes it before another trial, and before a checkpoint of about `bytes` that has no room beside it. Blocks.
    pub fn make_way(&self, hold: &Hold, bytes: u64, purpose: Purpose) {
        let is_there = locked(&self.0).is_some();
        // A volume that fails says so to the checkpoint too.
        if is_there && (purpose == Purpose::Trial || retention::is_short(hold, bytes).unwrap_or(false)) {
            tell(self.remove());
        }
    }
}

/// What is left behind is in nobody's way but for its room, and the next start removes it.
pub fn tell(removed: Result<(), ImageDirError>) {
    if let Err(error) = removed {
        tracing::warn!("the image of a trial is left behind: {error}");
    }
}
