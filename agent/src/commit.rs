//! Commits what was staged: from here on the checkpoint exists, whatever happens to the pod, the node or the power.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use thiserror::Error;

use crate::durable::create_durably;
use crate::fault::{Point, reach};
use crate::hold::Hold;
use crate::image_dir::{Generation, ImageDirError};
use crate::last_call::LastCall;
use crate::logging::whole_ms;
use crate::manifest::{FILE_NAME, Manifest};
use crate::sign::{self, Key};
use crate::staging::Staging;
use crate::{digest, members};

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
/// start reads.
///
/// # Errors
/// The generation does not exist.
pub fn commit(
    staging: &Staging,
    mut manifest: Manifest,
    key: Option<&Key>,
    last_call: &LastCall,
) -> Result<Manifest, CommitError> {
    let path = staging.path();
    let durable = |source| CommitError::Durable { path: path.into(), source };
    let clock = Instant::now();
    manifest.files = digest::seal(path).map_err(durable)?;
    reach(Point::Sealed);
    manifest.durations_ms.insert("durable".to_owned(), whole_ms(clock.elapsed()));
    manifest.extra = Some(members::extra(members::of(path).map_err(durable)?));
    write(path, &manifest, key).map_err(durable)?;
    reach(Point::ManifestWritten);
    // A later generation of this number must not find the claims on one that a person has removed.
    staging.hold().remove_claim(manifest.generation)?;
    reach(Point::NumberFreed);
    if !last_call.begin() {
        return Err(CommitError::TooLate);
    }
    staging.commit(manifest.generation)?;
    reach(Point::Committed);
    Ok(manifest)
}

fn write(path: &Path, manifest: &Manifest, key: Option<&Key>) -> io::Result<()> {
    let json = manifest.to_json()?;
    create_durably(&path.join(FILE_NAME), &json)?;
    key.map_or(Ok(()), |key| create_durably(&path.join(sign::FILE_NAME), key.sign(&json).as_bytes()))
}

/// What a tree knows of the generations that were there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// It was resumed from this one.
    Resumed(Generation),
    /// It started fresh. Its own generations begin with this one, if there is any.
    Fresh(Option<Generation>),
}

/// Removes what later commits made superfluous: all generations but the newest `keep` and those of which nothing has proven
/// that they are. That is the one from which the tree was resumed: newer ones may be damaged, and must not push out the one
/// that works. After a fresh start it is all from before that no end has closed: they may work elsewhere.
///
/// # Errors
/// The volume fails. What was committed is not touched by that.
pub fn retain(hold: &Hold, past: Past, keep: u32) -> Result<(), ImageDirError> {
    let ended = hold.dir().ended()?.map(|ended| ended.newest);
    let is_spared = |generation: Generation| match past {
        Past::Resumed(proven) => generation == proven,
        Past::Fresh(first) => {
            first.is_none_or(|first| generation < first) && ended.is_none_or(|ended| generation > ended)
        }
    };
    let old = hold.dir().list()?.into_iter().skip(keep as usize);
    old.filter(|generation| !is_spared(*generation)).try_for_each(|generation| hold.remove(generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::fixture::{commit, held};

    #[test]
    fn the_newest_are_kept_and_the_one_that_works() {
        let (_volume, hold) = held();
        for _ in 0..5 {
            commit(&hold);
        }
        retain(&hold, Past::Resumed(Generation(3)), 2).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [5, 4, 3].map(Generation));
        retain(&hold, Past::Resumed(Generation(5)), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [Generation(5)]);
    }

    #[test]
    fn a_fresh_start_proves_nothing_against_what_was_there_before() {
        let (_volume, hold) = held();
        for _ in 0..6 {
            commit(&hold);
        }
        retain(&hold, Past::Fresh(None), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap().len(), 6);
        retain(&hold, Past::Fresh(Some(Generation(4))), 2).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [6, 5, 3, 2, 1].map(Generation));
    }

    #[test]
    fn what_an_end_has_closed_is_superfluous_after_a_fresh_start() {
        let (_volume, hold) = held();
        commit(&hold);
        hold.mark_ended("exit status 0").unwrap();
        for _ in 0..3 {
            commit(&hold);
        }
        retain(&hold, Past::Fresh(Some(Generation(3))), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [4, 2].map(Generation));
    }
}
