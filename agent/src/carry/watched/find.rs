//! Finds the paths of inodes: first where they were the last time, then in all file systems that have them, from their top.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::base::headway::Headway;
use crate::base::panics::locked;
use crate::carry::files::mounts::Mounts;
use crate::tree::process::notify::Inode;

/// What was found the last time.
static KNOWN: Mutex<BTreeMap<Inode, PathBuf>> = Mutex::new(BTreeMap::new());

/// How a search has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was found, or there is nowhere else to look.
    Complete,
    /// Its time was over.
    Early,
}

/// Finds a path of each that has one, within `patience`, which is then known the next time.
pub fn find(
    wanted: BTreeSet<Inode>,
    patience: Duration,
    headway: &Headway,
) -> (BTreeMap<Inode, PathBuf>, Ended) {
    let until = Instant::now() + patience;
    let mut search = Search::new(wanted);
    let known = std::mem::take(&mut *locked(&KNOWN));
    known.values().for_each(|path| search.look(path));
    let ended = search.walk(points(), || headway.is_given_up() || Instant::now() > until);
    (*locked(&KNOWN)).clone_from(&search.found);
    (search.found, ended)
}

/// Where the file system of `inode` is mounted, for a person.
pub fn place(inode: Inode) -> String {
    let is_there = |point: &PathBuf| device(point) == Some(inode.device);
    match points().find(is_there) {
        Some(point) => format!("of the file system at {}", point.display()),
        None => "of a file system that is not mounted here".to_owned(),
    }
}

fn points() -> impl Iterator<Item = PathBuf> {
    let mounts = Mounts::read().unwrap_or_default();
    mounts.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>().into_iter()
}

fn device(path: &Path) -> Option<u32> {
    Some(Inode::of(&fs::symlink_metadata(path).ok()?).device)
}

struct Search {
    missing: BTreeSet<Inode>,
    numbers: BTreeSet<u64>,
    devices: BTreeSet<u32>,
    found: BTreeMap<Inode, PathBuf>,
}

impl Search {
    fn new(wanted: BTreeSet<Inode>) -> Self {
        let numbers = wanted.iter().map(|inode| inode.number).collect();
        let devices = wanted.iter().map(|inode| inode.device).collect();
        Self { missing: wanted, numbers, devices, found: BTreeMap::new() }
    }

    /// Looks whether it is at `path`; as CRIU will, so a link is not followed.
    fn look(&mut self, path: &Path) {
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        let inode = Inode::of(&meta);
        if self.missing.remove(&inode) {
            self.found.insert(inode, path.to_owned());
        }
    }

    /// Level by level, since what is watched is seldom deep.
    fn walk(&mut self, from: impl Iterator<Item = PathBuf>, is_over: impl Fn() -> bool) -> Ended {
        if self.missing.is_empty() {
            return Ended::Complete;
        }
        let mut next: VecDeque<PathBuf> = from.collect();
        while let Some(path) = next.pop_front().filter(|_| !self.missing.is_empty()) {
            if is_over() {
                return Ended::Early;
            }
            self.list(&path, &mut next);
        }
        Ended::Complete
    }

    /// A directory's own number need not be the one by which it is listed (overlayfs over several file systems), that of any other file
    /// is (the kernel's filesystems/overlayfs.rst).
    fn list(&mut self, path: &Path, next: &mut VecDeque<PathBuf>) {
        if !device(path).is_some_and(|device| self.devices.contains(&device)) {
            return;
        }
        self.look(path);
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                next.push_back(entry.path());
            } else if self.numbers.contains(&entry.ino()) {
                self.look(&entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits;

    fn inode(path: &Path) -> Inode {
        Inode::of(&fs::symlink_metadata(path).unwrap())
    }

    #[test]
    fn files_and_directories_are_found_however_deep_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::write(at("a/b/file"), "").unwrap();
        let gone = at("gone");
        fs::write(&gone, "").unwrap();
        // Its number is not given to another as long as it is open.
        let open = fs::File::open(&gone).unwrap();
        let wanted = [at("a/b/c"), at("a/b/file"), gone.clone()].map(|path| inode(&path));
        fs::remove_file(&gone).unwrap();
        let mut search = Search::new(wanted.into_iter().collect());
        assert_eq!(search.walk([dir.path().to_owned()].into_iter(), || false), Ended::Complete);
        assert_eq!(search.found, BTreeMap::from([(wanted[0], at("a/b/c")), (wanted[1], at("a/b/file"))]));
        assert_eq!(search.missing, BTreeSet::from([wanted[2]]));
        drop(open);
    }

    #[test]
    fn it_ends_when_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut search = Search::new(BTreeSet::from([Inode { device: 0, number: 0 }]));
        assert_eq!(search.walk([dir.path().to_owned()].into_iter(), || true), Ended::Early);
    }

    #[test]
    fn what_was_found_once_is_not_looked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = BTreeSet::from([inode(dir.path())]);
        locked(&KNOWN).insert(inode(dir.path()), dir.path().to_owned());
        let given_up = Headway::default();
        given_up.give_up();
        let (found, ended) = find(wanted, limits::WATCHED_PATIENCE, &given_up);
        assert_eq!((found.len(), ended), (1, Ended::Complete));
    }
}
