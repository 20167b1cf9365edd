//! Which generations are given up. There are three rules: what later commits have made superfluous, what has to go when there is
//! too little room, and what a person may remove.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::{limits, units};
use crate::store::image_dir::error::{ImageDirError, io_at};
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::{Generation, ImageDir, resumable};

/// Why there is no room.
#[derive(Debug, Error)]
pub enum RoomError {
    /// Too little is free, also without older generations.
    #[error(
        "the volume has {} free and the checkpoint needs about {}; make the volume larger or lower keepGenerations",
        units::bytes(*.free),
        units::bytes(*.needed)
    )]
    TooLittle {
        /// Bytes that are free.
        free: u64,
        /// Bytes that the checkpoint needs.
        needed: u64,
    },
    /// Nobody waits for the checkpoint any more.
    #[error("it was given up before room was made")]
    GivenUp,
    /// The volume fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

impl HasOutlook for RoomError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Volume(error) => error.outlook(),
            Self::TooLittle { .. } | Self::GivenUp => Outlook::Lasting,
        }
    }
}

/// Makes room for an image of about `image` bytes. If there is too little, older generations are given up, oldest first, but
/// never the newest that can be resumed, nor the one from which the tree was resumed (`proven`).
///
/// # Errors
/// There is too little room, or the volume fails; or it was given up, after which nothing is removed.
pub fn make_room(
    hold: &Hold,
    image: u64,
    proven: Option<Generation>,
    headway: &Headway,
) -> Result<(), RoomError> {
    let needed = image.saturating_add(limits::IMAGE_OVERHEAD_BYTES);
    let mut dispensable = dispensable(hold, proven)?;
    loop {
        let free = free(hold.dir().root())?;
        if free >= needed {
            return Ok(());
        }
        if headway.is_given_up() {
            return Err(RoomError::GivenUp);
        }
        let Some(oldest) = dispensable.pop() else { return Err(RoomError::TooLittle { free, needed }) };
        tracing::warn!(step = "freeze", "generation {oldest} is given up, since the volume is nearly full");
        hold.remove(oldest)?;
    }
}

/// What can be given up when there is too little room, newest first.
fn dispensable(hold: &Hold, proven: Option<Generation>) -> Result<Vec<Generation>, ImageDirError> {
    let (own, ended) = (hold.own_generations()?, hold.dir().ended()?.map(|ended| ended.newest));
    let open: Vec<Generation> =
        own.iter().copied().filter(|one| ended.is_none_or(|ended| *one > ended)).collect();
    let kept = [open.first().copied(), proven.filter(|proven| open.contains(proven))];
    let given_up = hold.dir().lines()?.given_up;
    let all = hold.dir().list()?.into_iter();
    Ok(all.filter(|one| given_up.contains(one) || own.contains(one) && !kept.contains(&Some(*one))).collect())
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
    let ended = hold.dir().ended()?.map(|ended| ended.newest);
    let is_spared = |generation: Generation| match past {
        Past::Resumed(proven) => generation == proven,
        Past::Fresh(first) => {
            first.is_none_or(|first| generation < first) && ended.is_none_or(|ended| generation > ended)
        }
    };
    let old = hold.own_generations()?.into_iter().skip(keep as usize);
    old.filter(|generation| !is_spared(*generation)).try_for_each(|generation| hold.remove(generation))
}

/// Why a person may remove a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superfluous {
    /// The work has ended since.
    Ended,
    /// A person has decided for another line of descent, or its work has ended.
    GivenUp,
    /// There are as many newer ones as are kept.
    Older,
}

/// The generations that an end has closed, and those that are older than the newest `keep`; newest first.
///
/// # Errors
/// The volume cannot be read.
pub fn superfluous(dir: &ImageDir, keep: usize) -> Result<Vec<(Generation, Superfluous)>, ImageDirError> {
    let (open, lines) = (resumable::resumable(dir)?, dir.lines()?);
    let why = |generation: &Generation| match open.iter().position(|one| one == generation) {
        _ if lines.of(*generation).is_some() => None,
        None if lines.given_up.contains(generation) => Some(Superfluous::GivenUp),
        None => Some(Superfluous::Ended),
        Some(place) => (place >= keep).then_some(Superfluous::Older),
    };
    Ok(dir.list()?.into_iter().filter_map(|generation| Some((generation, why(&generation)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::image_dir::hold::fixture::{commit, held};

    #[test]
    fn the_newest_and_the_proven_are_never_given_up() {
        let (_volume, hold) = held();
        for _ in 0..4 {
            commit(&hold);
        }
        let error =
            make_room(&hold, u64::MAX / 2, Some(Generation(2)), &Headway::default()).unwrap_err().to_string();
        assert!(error.contains(" free and the checkpoint needs about "), "{error}");
        assert_eq!(hold.dir().list().unwrap(), [Generation(4), Generation(2)]);
    }

    #[test]
    fn nothing_is_removed_for_a_checkpoint_that_was_given_up() {
        let (_volume, hold) = held();
        let _three = [commit(&hold), commit(&hold), commit(&hold)];
        let headway = Headway::default();
        headway.give_up();
        assert!(matches!(make_room(&hold, u64::MAX / 2, None, &headway), Err(RoomError::GivenUp)));
        assert_eq!(hold.dir().list().unwrap().len(), 3);
    }

    #[test]
    fn what_somebody_else_has_removed_is_removed() {
        let (_volume, hold) = held();
        let generations: Vec<Generation> = (0..20).map(|_| commit(&hold)).collect();
        let remove_all = || generations.iter().try_for_each(|generation| hold.remove(*generation));
        std::thread::scope(|scope| {
            let both = [scope.spawn(remove_all), scope.spawn(remove_all)];
            both.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
        assert!(hold.dir().list().unwrap().is_empty());
    }

    #[test]
    fn what_an_end_has_closed_is_given_up_whole() {
        let (_volume, hold) = held();
        commit(&hold);
        hold.mark_ended("exit status 0").unwrap();
        make_room(&hold, 0, None, &Headway::default()).unwrap();
        assert_eq!(hold.dir().list().unwrap().len(), 1);
        assert!(make_room(&hold, u64::MAX / 2, None, &Headway::default()).is_err());
        assert!(hold.dir().list().unwrap().is_empty());
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
