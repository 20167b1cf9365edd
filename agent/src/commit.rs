//! Commits what was staged: from here on the checkpoint exists, whatever happens to the pod, the node or the power.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use thiserror::Error;

use crate::digest;
use crate::durable::write_durably;
use crate::extra_files::{self, CopyError};
use crate::image_dir::{Generation, ImageDir, ImageDirError};
use crate::manifest::{FILE_NAME, Manifest};

/// Why the checkpoint does not exist.
#[derive(Debug, Error)]
pub enum CommitError {
    /// What was written cannot be read back or made durable.
    #[error("cannot make the image in {path} durable: {source}; is the volume full or away?")]
    Durable {
        /// The staging directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The application goes on meanwhile, so what was dumped is no longer its state.
    #[error("the checkpoint came too late")]
    TooLate,
    /// An additional path cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

/// Settles between a commit and its deadline who was first: once the rename may begin it is waited for, and once the
/// application was let go on no rename begins.
#[derive(Debug, Default)]
pub struct LastCall(AtomicU8);

const OPEN: u8 = 0;
const COMMITTING: u8 = 1;
const CLOSED: u8 = 2;

impl LastCall {
    /// The deadline is over. False if the commit was first.
    pub fn close(&self) -> bool {
        self.0.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn take(&self) -> bool {
        self.0.compare_exchange(OPEN, COMMITTING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Makes the staging directory the generation that `manifest` is for, with copies of `additional` paths. Blocks.
///
/// The order is what makes it safe: first the contents of all files, then the manifest that vouches for them, then
/// the one rename by which both become a generation. A crash between any two leaves only staging behind, which no
/// start reads.
///
/// # Errors
/// The generation does not exist.
pub fn commit(
    dir: &ImageDir,
    mut manifest: Manifest,
    additional: &[PathBuf],
    last_call: &LastCall,
) -> Result<Manifest, CommitError> {
    let staging = dir.staging();
    let durable = |source| CommitError::Durable { path: staging.clone(), source };
    manifest.extra_paths = extra_files::save(additional, &staging.join("files"))?;
    manifest.files = digest::seal(&staging).map_err(durable)?;
    write_durably(&staging.join(FILE_NAME), &manifest.to_json().map_err(durable)?)?;
    // A later generation of this number must not find the claims on one that a person has removed.
    dir.remove_claim(manifest.generation)?;
    if !last_call.take() {
        return Err(CommitError::TooLate);
    }
    dir.commit(manifest.generation)?;
    Ok(manifest)
}

/// Removes what later commits made superfluous: of the generations up to `proven`, from which the tree was resumed, all
/// but the newest `keep`. Newer ones are not touched, since they were skipped for a reason that a person may want to
/// see, and must not push out the one that works.
///
/// # Errors
/// The volume fails. What was committed is not touched by that.
pub fn retain(dir: &ImageDir, proven: Generation, keep: u32) -> Result<(), ImageDirError> {
    dir.sweep_removed()?;
    let old = dir.list()?.into_iter().filter(|generation| *generation <= proven).skip(keep as usize);
    old.into_iter().try_for_each(|generation| dir.remove(generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_the_commit_or_the_deadline_is_first() {
        let (early, late) = (LastCall::default(), LastCall::default());
        assert!(early.take() && !early.close());
        assert!(late.close() && !late.take());
    }

    #[test]
    fn the_newest_that_work_are_kept() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        for _ in 0..4 {
            let next = dir.next().unwrap();
            dir.clean_staging().unwrap();
            dir.commit(next).unwrap();
        }
        retain(&dir, Generation(3), 2).unwrap();
        assert_eq!(dir.list().unwrap(), [Generation(4), Generation(3), Generation(2)]);
        retain(&dir, Generation(4), 2).unwrap();
        assert_eq!(dir.list().unwrap(), [Generation(4), Generation(3)]);
    }
}
