//! Has programs know the files that they have open by the numbers that these had when they were opened.
//!
//! In another container a file has another inode and lies on another device, also one of a volume. Who compares the open file with
//! what is under its name takes no harm, but who remembers the numbers would take the file for another: SQLite refuses to write,
//! and what it opens again does not share the locks of what it has open. What the library tells in place of the numbers is a
//! permutation of them, since two files with the same numbers would be worse.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crik_store::generation::clock_facts::Installed;
use crik_store::generation::file_numbers::FileNumbers;

use super::clocks::install::{self, RebaseError};
use super::clocks::layout::{DEVICES, Number, OPEN_FILES};

/// How the programs of a tree with this library know these files, of which the kernel says device and inode.
///
/// # Errors
/// The library's page cannot be read.
pub fn known(
    open: BTreeMap<PathBuf, (u64, u64)>,
    library: Option<&Installed>,
) -> Result<Vec<FileNumbers>, RebaseError> {
    let Some(library) = library else { return Ok(Vec::new()) };
    let told: BTreeMap<(u64, u64), u64> = install::renumbered(library)?
        .into_iter()
        .map(|number| ((number.device, number.here), number.told))
        .collect();
    let told = |device, here| told.get(&(device, here)).copied().unwrap_or(here);
    let known = open.into_iter().map(|(path, (device, inode))| FileNumbers {
        path,
        device: told(DEVICES, device),
        inode: told(device, inode),
    });
    Ok(known.collect())
}

/// What the programs are told in place of the numbers that these files have here, in the library's order.
pub fn here(known: &[FileNumbers]) -> Vec<Number> {
    if known.len() > OPEN_FILES {
        tracing::warn!(
            step = "restore",
            "the program has {} files open, of which {OPEN_FILES} keep their inodes; those that compare the others may take them for new",
            known.len()
        );
    }
    let found = known.iter().take(OPEN_FILES).filter_map(|file| {
        let meta = fs::symlink_metadata(&file.path).ok()?;
        Some(((meta.dev(), meta.ino()), (file.device, file.inode)))
    });
    renumbered(found)
}

/// From pairs of device and inode: as they are here, and as they are known.
fn renumbered(files: impl Iterator<Item = ((u64, u64), (u64, u64))>) -> Vec<Number> {
    let mut by_device: BTreeMap<u64, Renumbering> = BTreeMap::new();
    for ((device, inode), (known_device, known_inode)) in files {
        by_device.entry(DEVICES).or_default().add(device, known_device);
        by_device.entry(device).or_default().add(inode, known_inode);
    }
    let numbers = by_device.into_iter().flat_map(|(device, numbers)| {
        numbers.permutation().into_iter().map(move |(here, told)| Number { device, here, told })
    });
    numbers.filter(|number| number.here != number.told).collect()
}

/// Numbers that are told in place of others. Of two that were one, or would become one, the first counts.
#[derive(Default)]
struct Renumbering {
    told: BTreeMap<u64, u64>,
    taken: BTreeMap<u64, u64>,
}

impl Renumbering {
    fn add(&mut self, here: u64, told: u64) {
        if !self.told.contains_key(&here) && !self.taken.contains_key(&told) {
            self.told.insert(here, told);
            self.taken.insert(told, here);
        }
    }

    /// With what becomes of those whose numbers are told of others: each gets the one that its chain leaves free.
    fn permutation(self) -> BTreeMap<u64, u64> {
        let displaced: BTreeSet<u64> =
            self.taken.keys().copied().filter(|told| !self.told.contains_key(told)).collect();
        let free = |last: u64| {
            let mut number = last;
            while let Some(before) = self.taken.get(&number) {
                number = *before;
            }
            number
        };
        let others: Vec<(u64, u64)> = displaced.into_iter().map(|number| (number, free(number))).collect();
        self.told.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(pairs: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let numbers = renumbered(pairs.iter().map(|(here, known)| ((5, *here), (5, *known))));
        numbers.into_iter().map(|number| (number.here, number.told)).collect()
    }

    #[test]
    fn who_has_a_files_old_number_here_gets_its_new_one() {
        assert_eq!(told(&[(100, 50)]), [(50, 100), (100, 50)]);
    }

    #[test]
    fn a_chain_of_numbers_is_closed_and_no_two_files_get_one() {
        assert_eq!(told(&[(2, 1), (3, 2), (4, 3)]), [(1, 4), (2, 1), (3, 2), (4, 3)]);
        assert_eq!(told(&[(1, 2), (2, 1)]), [(1, 2), (2, 1)]);
        // Two names of one file, and two files that were one.
        assert_eq!(told(&[(7, 1), (7, 1), (8, 1)]), [(1, 7), (7, 1)]);
    }

    #[test]
    fn what_has_its_number_still_is_not_told_anew() {
        assert_eq!(told(&[(9, 9)]), []);
    }

    #[test]
    fn inodes_are_told_by_device_and_devices_too() {
        let files = [((30, 1), (20, 4)), ((31, 1), (21, 1))];
        let numbers = renumbered(files.into_iter());
        let expected = [
            (DEVICES, 20, 30),
            (DEVICES, 21, 31),
            (DEVICES, 30, 20),
            (DEVICES, 31, 21),
            (30, 1, 4),
            (30, 4, 1),
        ];
        assert_eq!(numbers, expected.map(|(device, here, told)| Number { device, here, told }));
        assert!(numbers.is_sorted());
    }

    #[test]
    fn as_many_files_keep_their_numbers_as_the_page_has_room_for() {
        let there = tempfile::NamedTempFile::new().unwrap();
        let file = |path: &Path| FileNumbers { path: path.to_owned(), device: 1, inode: 1 };
        let after = |gone: usize| {
            let mut known = vec![file(Path::new("/nowhere")); gone];
            known.push(file(there.path()));
            here(&known).len()
        };
        assert_eq!((after(OPEN_FILES - 1), after(OPEN_FILES)), (4, 0));
    }
}
