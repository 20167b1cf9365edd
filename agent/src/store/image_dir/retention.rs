//! Which generations are given up. There are three rules: what later commits have made superfluous, what has to go when there is
//! too little room, and what a person may remove.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{fs, io};

use nix::sys::statvfs::statvfs;
use thiserror::Error;

use crate::base::retry::{HasOutlook, Outlook};
use crate::base::{limits, units};
use crate::store::image_dir::attempts::Attempts;
use crate::store::image_dir::error::{ImageDirError, io_at};
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::{Generation, ImageDir, resumable};

/// Why there is no room.
#[derive(Debug, Error)]
pub enum RoomError {
    /// Too little is free, also without older generations.
    #[error(
        "the volume has {} free and the checkpoint needs about {}; make the volume larger, lower keepGenerations, or \
         remove what nobody needs any more (crik gc)",
        units::bytes(*.free),
        units::bytes(*.needed)
    )]
    TooLittle {
        /// Bytes that are free.
        free: u64,
        /// Bytes that the checkpoint needs.
        needed: u64,
    },
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

impl HasOutlook for RoomError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Volume(error) => error.outlook(),
            Self::TooLittle { .. } => Outlook::Lasting,
        }
    }
}

/// Makes room for an image of about `image` bytes. If there is too little, older generations are given up, oldest first, but
/// none that [`retain`] spares, nor the newest that can be resumed; and none if all of them were not enough.
///
/// # Errors
/// There is far too little room, or the volume fails. What is only a little more than is free may be tried: it is an estimate, and
/// a volume may compress.
pub fn make_room(hold: &Hold, image: u64, past: Past) -> Result<(), RoomError> {
    let needed = image.saturating_add(limits::IMAGE_OVERHEAD_BYTES);
    let mut volume = FreeSpace::new(free(hold.dir().root())?);
    if volume.bytes() >= needed {
        return Ok(());
    }
    let mut dispensable = sized(hold, dispensable(hold, past)?)?;
    let most = dispensable.iter().fold(volume.bytes(), |sum, (_, bytes)| sum.saturating_add(*bytes));
    if needed / limits::ROOM_FACTOR > most {
        return Err(RoomError::TooLittle { free: volume.bytes(), needed });
    }
    while volume.bytes() < needed {
        let Some((oldest, bytes)) = dispensable.pop() else {
            tracing::warn!(
                step = "freeze",
                "the volume may be too small; it is tried: {}",
                RoomError::TooLittle { free: volume.bytes(), needed }
            );
            break;
        };
        give_up(hold, oldest)?;
        volume.gave_up(bytes, free(hold.dir().root())?);
    }
    Ok(())
}

/// What is free, where some of what was removed may not be free yet: there are volumes that do it later (CephFS, thin volumes).
#[derive(Debug, Clone, Copy)]
struct FreeSpace {
    before: u64,
    removed: u64,
    now: u64,
}

impl FreeSpace {
    fn new(free: u64) -> Self {
        Self { before: free, removed: 0, now: free }
    }

    fn gave_up(&mut self, bytes: u64, now: u64) {
        self.removed = self.removed.saturating_add(bytes);
        self.now = now;
    }

    fn bytes(self) -> u64 {
        self.now.max(self.before.saturating_add(self.removed))
    }
}

/// Gives up the oldest generation that can be, since the volume has said that it has no room. Returns which.
///
/// # Errors
/// The volume fails.
pub fn give_up_oldest(hold: &Hold, past: Past) -> Result<Option<Generation>, ImageDirError> {
    let Some(oldest) = dispensable(hold, past)?.pop() else { return Ok(None) };
    give_up(hold, oldest)?;
    Ok(Some(oldest))
}

fn give_up(hold: &Hold, oldest: Generation) -> Result<(), ImageDirError> {
    tracing::warn!(step = "freeze", "generation {oldest} is given up, since the volume is nearly full");
    hold.remove(oldest)
}

/// What can be given up when there is too little room, newest first.
fn dispensable(hold: &Hold, past: Past) -> Result<Vec<Generation>, ImageDirError> {
    let newest = resumable::resumable(hold.dir())?.first().copied();
    let spared = Spared::of(hold, past)?;
    let mut found = Vec::new();
    for generation in hold.dir().list()? {
        if Some(generation) != newest && !spared.has(generation)? {
            found.push(generation);
        }
    }
    Ok(found)
}

fn sized(hold: &Hold, generations: Vec<Generation>) -> Result<Vec<(Generation, u64)>, ImageDirError> {
    let sized = |generation| {
        let path = hold.dir().generation(generation);
        Ok((generation, stored(&path).map_err(io_at("read", &path))?))
    };
    generations.into_iter().map(sized).collect()
}

/// Bytes that what is at `path` takes on the volume. A block of stat(2) has 512.
fn stored(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { stored(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(bytes)
}

/// Free bytes. A file system that does not tell its size does not tell what is free either.
///
/// # Errors
/// The volume fails.
pub fn free(path: &Path) -> Result<u64, ImageDirError> {
    let volume = statvfs(path).map_err(|error| io_at("ask for the free space of", path)(error.into()))?;
    let known = volume.blocks() > 0;
    Ok(if known { volume.blocks_available().saturating_mul(volume.fragment_size()) } else { u64::MAX })
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
    let spared = Spared::of(hold, past)?;
    for generation in hold.dir().list()?.into_iter().skip(keep as usize) {
        if !spared.has(generation)? {
            hold.remove(generation)?;
        }
    }
    Ok(())
}

/// Which generations a tree must not give up, whatever else is there.
struct Spared<'a> {
    dir: &'a ImageDir,
    past: Past,
    /// The newest that an end has closed.
    ended: Option<Generation>,
}

impl<'a> Spared<'a> {
    fn of(hold: &'a Hold, past: Past) -> Result<Self, ImageDirError> {
        Ok(Self { dir: hold.dir(), past, ended: hold.dir().ended()?.map(|ended| ended.newest) })
    }

    fn has(&self, generation: Generation) -> Result<bool, ImageDirError> {
        let is_open = self.ended.is_none_or(|ended| generation > ended);
        let needed = match self.past {
            Past::Resumed(proven) => generation == proven,
            Past::Fresh(first) => first.is_none_or(|first| generation < first) && is_open,
        };
        // A restore that something always cut off says nothing about the generation.
        Ok(needed || is_open && Attempts::read(&self.dir.attempts(generation))?.always_interrupted())
    }
}

/// Why a person may remove a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superfluous {
    /// The work has ended since.
    Ended,
    /// There are as many newer ones that are whole as are kept.
    Older,
}

/// The generations that an end has closed, and those that are older than `keep` that `is_good` tells to be; newest first. What was
/// resumed last is not among them: newer ones may be whole and not work, and that one has.
///
/// # Errors
/// The volume cannot be read.
pub fn superfluous(
    dir: &ImageDir,
    keep: usize,
    is_good: impl Fn(Generation) -> Result<bool, ImageDirError>,
) -> Result<Vec<(Generation, Superfluous)>, ImageDirError> {
    let open = resumable::resumable(dir)?;
    let (mut good, mut has_proven, mut found) = (0, false, Vec::new());
    for generation in dir.list()? {
        let proves = || Ok::<_, ImageDirError>(Attempts::read(&dir.attempts(generation))?.proven());
        if !open.contains(&generation) {
            found.push((generation, Superfluous::Ended));
        } else if !has_proven && proves()? {
            (has_proven, good) = (true, good + 1);
        } else if good >= keep {
            found.push((generation, Superfluous::Older));
        } else if is_good(generation)? {
            good += 1;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::image_dir::attempts::{AttemptOutcome, OpenAttempt};
    use crate::store::image_dir::hold::fixture::{commit, held};
    use crate::store::image_dir::pod::Pod;

    /// All that is given up, one after the other.
    fn all_given_up(hold: &Hold, past: Past) -> Vec<u64> {
        std::iter::from_fn(|| give_up_oldest(hold, past).unwrap()).map(|generation| generation.0).collect()
    }

    #[test]
    fn the_newest_and_the_proven_are_never_given_up() {
        let (_volume, hold) = held();
        for _ in 0..4 {
            commit(&hold);
        }
        assert_eq!(all_given_up(&hold, Past::Resumed(Generation(2))), [1, 3]);
        assert_eq!(hold.dir().list().unwrap(), [Generation(4), Generation(2)]);
    }

    #[test]
    fn what_an_end_has_closed_is_given_up_whole() {
        let (_volume, hold) = held();
        commit(&hold);
        hold.mark_ended("exit status 0").unwrap();
        make_room(&hold, 0, Past::Fresh(None)).unwrap();
        assert_eq!(hold.dir().list().unwrap().len(), 1);
        assert_eq!(all_given_up(&hold, Past::Fresh(None)), [1]);
    }

    #[test]
    fn a_fresh_start_gives_up_nothing_that_may_work_elsewhere() {
        let (_volume, hold) = held();
        for _ in 0..5 {
            commit(&hold);
        }
        assert_eq!(all_given_up(&hold, Past::Fresh(None)), [0; 0]);
        assert_eq!(all_given_up(&hold, Past::Fresh(Some(Generation(4)))), [4]);
    }

    #[test]
    fn nothing_is_given_up_where_all_of_it_would_not_be_enough() {
        let (_volume, hold) = held();
        for _ in 0..3 {
            commit(&hold);
        }
        let error = make_room(&hold, u64::MAX / 2, Past::Resumed(Generation(3))).unwrap_err().to_string();
        assert!(error.contains(" free and the checkpoint needs about "), "{error}");
        assert_eq!(hold.dir().list().unwrap().len(), 3);
    }

    #[test]
    fn what_is_not_free_yet_counts_as_free() {
        let mut volume = FreeSpace::new(10);
        volume.gave_up(30, 10);
        assert_eq!(volume.bytes(), 40);
        // Others may have removed something too.
        volume.gave_up(5, 100);
        assert_eq!(volume.bytes(), 100);
    }

    /// Lets a generation have this account of attempts.
    fn attempted(hold: &Arc<Hold>, generation: u64, outcomes: &[AttemptOutcome]) {
        for outcome in outcomes {
            let attempt = OpenAttempt::begin(hold, Generation(generation), &Pod::default(), 99).unwrap();
            attempt.record(outcome).unwrap();
        }
    }

    #[test]
    fn what_was_only_interrupted_is_never_given_up() {
        let (_volume, hold) = held();
        for _ in 0..5 {
            commit(&hold);
        }
        attempted(&hold, 2, &[AttemptOutcome::Interrupted, AttemptOutcome::Interrupted]);
        attempted(&hold, 3, &[AttemptOutcome::Interrupted, AttemptOutcome::Failed("no luck".to_owned())]);
        retain(&hold, Past::Resumed(Generation(1)), 1).unwrap();
        assert_eq!(hold.dir().list().unwrap(), [5, 2, 1].map(Generation));
    }

    fn found(hold: &Hold, keep: usize, good: &[u64]) -> Vec<u64> {
        let found = superfluous(hold.dir(), keep, |generation| Ok(good.contains(&generation.0))).unwrap();
        found.into_iter().map(|(generation, _)| generation.0).collect()
    }

    #[test]
    fn a_person_removes_only_what_is_older_than_enough_good_ones() {
        let (_volume, hold) = held();
        for _ in 0..5 {
            commit(&hold);
        }
        assert_eq!(found(&hold, 2, &[5, 4, 3, 2, 1]), [3, 2, 1]);
        assert_eq!(found(&hold, 2, &[5, 3, 2]), [2, 1]);
        assert_eq!(found(&hold, 2, &[1]), [0; 0]);
        attempted(&hold, 2, &[AttemptOutcome::Resumed]);
        assert_eq!(found(&hold, 2, &[5, 4, 3, 2, 1]), [3, 1]);
        hold.mark_ended("exit status 0").unwrap();
        assert_eq!(found(&hold, 2, &[5, 4, 3, 2, 1]), [5, 4, 3, 2, 1]);
    }

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
