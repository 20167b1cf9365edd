//! Which generations are given up. There are three rules: what later commits have made superfluous, what has to go when there is
//! too little room, and what a person may remove.

use std::path::Path;

use thiserror::Error;

use crate::backend::{Name, directory};
use crate::base::headway::Headway;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::{limits, units};
use crate::image_dir::attempts::Attempts;
use crate::image_dir::error::{ImageDirError, io_at};
use crate::image_dir::hold::Hold;
use crate::image_dir::{Generation, ImageDir, resumable};

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
/// none that [`retain`] spares, nor the newest that can be resumed; and none if all of them were not enough.
///
/// # Errors
/// There is far too little room, or the volume fails. What is only a little more than is free may be tried: it is an estimate, and
/// a volume may compress. Once it was given up nothing is removed.
pub fn make_room(hold: &Hold, image: u64, past: Past, headway: &Headway) -> Result<(), RoomError> {
    let needed = image.saturating_add(limits::IMAGE_OVERHEAD_BYTES);
    let mut volume = FreeSpace::new(hold.dir().free()?);
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
        if headway.is_given_up() {
            return Err(RoomError::GivenUp);
        }
        give_up(hold, oldest)?;
        volume.gave_up(bytes, hold.dir().free()?);
    }
    Ok(())
}

/// Says whether there would be too little room for an image of about `image` bytes, however much is given up; nothing is removed. What
/// this pod has half done there counts as free, since it is removed or committed before another one is begun.
///
/// # Errors
/// The volume fails.
pub fn lacking(hold: &Hold, image: u64, past: Past) -> Result<Option<RoomError>, ImageDirError> {
    let needed = image.saturating_add(limits::IMAGE_OVERHEAD_BYTES);
    let mut free = hold.dir().free()?;
    if free < needed {
        let own = hold.dir().stored(hold.name())?;
        let older = sized(hold, dispensable(hold, past)?)?;
        free = older.iter().fold(free.saturating_add(own), |sum, (_, bytes)| sum.saturating_add(*bytes));
    }
    Ok((free < needed).then_some(RoomError::TooLittle { free, needed }))
}

/// Says whether an image of about `image` bytes does not fit without anything being given up.
///
/// # Errors
/// The volume fails.
pub fn is_short(hold: &Hold, image: u64) -> Result<bool, ImageDirError> {
    Ok(hold.dir().free()? < image.saturating_add(limits::IMAGE_OVERHEAD_BYTES))
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
    let (own, given_up) = (hold.own_generations()?, hold.dir().lines()?.given_up);
    let spared = Spared::of(hold, past)?;
    let newest = own.iter().copied().find(|generation| spared.is_open(*generation));
    let mut found = Vec::new();
    for generation in hold.dir().list()? {
        let is_ours = own.contains(&generation) && Some(generation) != newest;
        if given_up.contains(&generation) || is_ours && !spared.has(generation) {
            found.push(generation);
        }
    }
    Ok(found)
}

fn sized(hold: &Hold, generations: Vec<Generation>) -> Result<Vec<(Generation, u64)>, ImageDirError> {
    let dir = hold.dir();
    let frees_packs = dir.frees_packs(&generations);
    let sized = |generation: Generation| {
        let packs = if frees_packs { dir.bytes_of_own_packs(generation)? } else { 0 };
        Ok((generation, dir.stored(&generation.directory())? + packs))
    };
    generations.iter().copied().map(sized).collect()
}

impl ImageDir {
    /// Free bytes.
    fn free(&self) -> Result<u64, ImageDirError> {
        self.backend().free().map_err(self.at("ask for the free space of", &Name::root()))
    }
}

/// Free bytes of the volume that `path` is on. A file system that does not tell its size does not tell what is free either.
///
/// # Errors
/// The volume fails.
pub fn free(path: &Path) -> Result<u64, ImageDirError> {
    directory::free(path).map_err(io_at("ask for the free space of", path))
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
    for generation in hold.own_generations()?.into_iter().skip(keep as usize) {
        if !spared.has(generation) {
            hold.remove(generation)?;
        }
    }
    Ok(())
}

/// Which generations a tree must not give up, whatever else is there.
struct Spared<'a> {
    hold: &'a Hold,
    past: Past,
    /// The newest that an end has closed.
    ended: Option<Generation>,
}

impl<'a> Spared<'a> {
    fn of(hold: &'a Hold, past: Past) -> Result<Self, ImageDirError> {
        Ok(Self { hold, past, ended: hold.dir().ended()?.map(|ended| ended.newest) })
    }

    /// Whether no end has closed it.
    fn is_open(&self, generation: Generation) -> bool {
        self.ended.is_none_or(|ended| generation > ended)
    }

    fn has(&self, generation: Generation) -> bool {
        let is_open = self.is_open(generation);
        let needed = match self.past {
            Past::Resumed(proven) => generation == proven,
            Past::Fresh(first) => first.is_none_or(|first| generation < first) && is_open,
        };
        if needed || !is_open {
            return needed;
        }
        // One that cannot be read must not keep room from being made by others.
        self.is_untried(generation).unwrap_or_else(|error| {
            self.hold.warn_once(format!(
                "generation {generation} is not given up, since it cannot be read: {error}"
            ));
            true
        })
    }

    /// A restore that something always cut off says nothing about the generation, nor does a release that does not read it.
    fn is_untried(&self, generation: Generation) -> Result<bool, ImageDirError> {
        let dir = self.hold.dir();
        Ok(Attempts::read(dir, generation)?.always_interrupted() || dir.is_of_a_later_release(generation)?)
    }
}

/// Why a person may remove a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superfluous {
    /// The work has ended since.
    Ended,
    /// A person has decided for another line of descent, or its work has ended.
    GivenUp,
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
    let (open, lines) = (resumable::resumable(dir)?, dir.lines()?);
    let (mut good, mut has_proven, mut found) = (0, false, Vec::new());
    for generation in dir.list()? {
        let proves = || Ok::<_, ImageDirError>(Attempts::read(dir, generation)?.proven());
        if lines.of(generation).is_some() {
            // A person has yet to decide.
        } else if lines.given_up.contains(&generation) {
            found.push((generation, Superfluous::GivenUp));
        } else if !open.contains(&generation) {
            found.push((generation, Superfluous::Ended));
        } else if !has_proven && proves()? {
            (has_proven, good) = (true, good + 1);
        } else if good >= keep {
            // What cannot be read may be of a later release.
            let is_known = dir.is_of_a_later_release(generation).is_ok_and(|is_later| !is_later);
            found.extend(is_known.then_some((generation, Superfluous::Older)));
        } else if is_good(generation)? {
            good += 1;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
