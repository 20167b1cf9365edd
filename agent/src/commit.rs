//! Commits what was staged: from here on the checkpoint exists, whatever happens to the pod, the node or the power.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::digest;
use crate::durable::{to_json, write_durably};
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
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

/// Makes the staging directory the generation that `manifest` is for. Blocks.
///
/// The order is what makes it safe: first the contents of all files, then the manifest that vouches for them, then
/// the one rename by which both become a generation. A crash between any two leaves only staging behind, which no
/// start reads. `still_wanted` is asked right before the rename.
///
/// # Errors
/// The generation does not exist.
pub fn commit(
    dir: &ImageDir,
    mut manifest: Manifest,
    still_wanted: impl Fn() -> bool,
) -> Result<Manifest, CommitError> {
    let staging = dir.staging();
    manifest.files =
        digest::seal(&staging).map_err(|source| CommitError::Durable { path: staging.clone(), source })?;
    write_durably(&staging.join(FILE_NAME), &to_json(&manifest))?;
    if !still_wanted() {
        return Err(CommitError::TooLate);
    }
    dir.commit(manifest.generation)?;
    Ok(manifest)
}

/// Removes what the commit made superfluous: all but the newest `keep` generations.
///
/// # Errors
/// The volume fails. What was committed is not touched by that.
pub fn retain(dir: &ImageDir, keep: u32) -> Result<Vec<Generation>, ImageDirError> {
    let old: Vec<Generation> = dir.list()?.into_iter().skip(keep as usize).collect();
    old.iter().try_for_each(|generation| dir.remove(*generation))?;
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_generations_are_kept() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        for _ in 0..4 {
            let next = dir.next().unwrap();
            dir.clean_staging().unwrap();
            dir.commit(next).unwrap();
        }
        assert_eq!(retain(&dir, 2).unwrap(), [Generation(2), Generation(1)]);
        assert_eq!(dir.list().unwrap(), [Generation(4), Generation(3)]);
    }
}
