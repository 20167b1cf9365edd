//! Room on the volume for one more generation.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use thiserror::Error;

use crate::find;
use crate::hold::Hold;
use crate::image_dir::{Generation, ImageDirError, io_at};
use crate::limits;

/// Why there is no room.
#[derive(Debug, Error)]
pub enum RoomError {
    /// Too little is free, also without older generations.
    #[error(
        "the volume has {} free and the checkpoint needs about {}; make the volume larger or lower keepGenerations",
        bytes(*.free),
        bytes(*.needed)
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

/// Makes room for an image of about `image` bytes. If there is too little, older generations are given up, oldest first, but
/// never the newest that can be resumed, nor the one from which the tree was resumed (`proven`).
///
/// # Errors
/// There is too little room, or the volume fails.
pub fn make(hold: &Hold, image: u64, proven: Option<Generation>) -> Result<(), RoomError> {
    let needed = image.saturating_add(limits::IMAGE_OVERHEAD_BYTES);
    let mut superfluous = superfluous(hold, proven)?;
    loop {
        let free = free(hold.dir().root())?;
        if free >= needed {
            return Ok(());
        }
        let Some(oldest) = superfluous.pop() else { return Err(RoomError::TooLittle { free, needed }) };
        tracing::warn!(step = "freeze", "generation {oldest} is given up, since the volume is nearly full");
        hold.remove(oldest)?;
    }
}

/// What can be given up, newest first.
fn superfluous(hold: &Hold, proven: Option<Generation>) -> Result<Vec<Generation>, ImageDirError> {
    let open = find::rungs(hold.dir())?;
    let kept = [open.first().copied(), proven.filter(|proven| open.contains(proven))];
    Ok(hold.dir().list()?.into_iter().filter(|generation| !kept.contains(&Some(*generation))).collect())
}

/// Free bytes. A file system that does not tell its size does not tell what is free either.
fn free(path: &Path) -> Result<u64, ImageDirError> {
    let volume = statvfs(path).map_err(|error| io_at("ask for the free space of", path)(error.into()))?;
    let known = volume.blocks() > 0;
    Ok(if known { volume.blocks_available().saturating_mul(volume.fragment_size()) } else { u64::MAX })
}

/// A number of bytes for people.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let power = (1..UNITS.len()).rev().find(|power| bytes >= 1000_u64.pow(*power as u32)).unwrap_or(0);
    if power == 0 {
        return format!("{bytes} B");
    }
    format!("{:.1} {}", bytes as f64 / 1000_f64.powi(power as i32), UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::fixture::{commit, held};

    #[test]
    fn the_newest_and_the_proven_are_never_given_up() {
        let (_volume, hold) = held();
        for _ in 0..4 {
            commit(&hold);
        }
        let error = make(&hold, u64::MAX / 2, Some(Generation(2))).unwrap_err().to_string();
        assert!(error.contains(" free and the checkpoint needs about "), "{error}");
        assert_eq!(hold.dir().list().unwrap(), [Generation(4), Generation(2)]);
    }

    #[test]
    fn what_an_end_has_closed_is_given_up_whole() {
        let (_volume, hold) = held();
        commit(&hold);
        hold.mark_ended("exit status 0").unwrap();
        make(&hold, 0, None).unwrap();
        assert_eq!(hold.dir().list().unwrap().len(), 1);
        assert!(make(&hold, u64::MAX / 2, None).is_err());
        assert!(hold.dir().list().unwrap().is_empty());
    }

    #[test]
    fn bytes_are_told_in_units_of_people() {
        assert_eq!([bytes(999), bytes(1_500), bytes(2_340_000_000)], ["999 B", "1.5 kB", "2.3 GB"]);
    }
}
