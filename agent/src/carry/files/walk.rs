//! Finds what goes along: in the container's layer what has changed since the agent's start, in all other places everything.
//!
//! What has changed is told by its change time, which no program can set. A directory in which a name was made or removed has
//! changed too, so all names in it go along: by them the next start knows what was removed, without anybody having to read the
//! whole image at a start to remember what had been there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

use super::beginning::{self, ChangeTime, changed_at};
use super::error::{CarryError, taking};
use super::holes::extent;
use super::largest::largest;
use super::places::{Place, PlaceKind};
use super::spared::Spared;
use crate::base::limits;
use crate::base::panics::locked;

/// Something that goes along.
#[derive(Debug, Clone)]
pub struct Found {
    /// The number of its place.
    pub place: usize,
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub meta: Metadata,
    /// The names in it, if it is a directory and they are not those of the image.
    pub names: Option<Vec<OsString>>,
}

/// All that goes along of these places; what holds other things comes before them.
///
/// # Errors
/// Something cannot be read.
pub fn walk(places: &[Place], spared: &Spared) -> Result<Vec<Found>, CarryError> {
    let mut all = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let walk = Walk::new(number, place, places, spared);
        let Some(meta) = unless_gone(place.path.symlink_metadata()).map_err(taking(&place.path))? else {
            continue;
        };
        let mut found = walk.run(meta)?;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        all.extend(found);
    }
    Ok(all)
}

/// What has come into directories since they were `found`: CRIU makes names there for files that have lost theirs.
///
/// # Errors
/// Something cannot be read.
pub fn walk_again(found: &mut [Found], places: &[Place], spared: &Spared) -> Result<Vec<Found>, CarryError> {
    let mut more = Vec::new();
    for directory in found {
        let Some(known) = &mut directory.names else { continue };
        let at = taking(&directory.path);
        let Some(meta) = unless_gone(directory.path.symlink_metadata()).map_err(&at)? else { continue };
        if changed_at(&meta) == changed_at(&directory.meta) {
            continue;
        }
        let names = names(&directory.path).map_err(&at)?;
        let before: BTreeSet<OsString> = std::mem::replace(known, names.clone()).into_iter().collect();
        let walk = Walk::new(directory.place, &places[directory.place], places, spared);
        for name in names.into_iter().filter(|name| !before.contains(name)) {
            let path = directory.path.join(name);
            if let Some(meta) = unless_gone(path.symlink_metadata()).map_err(taking(&path))? {
                more.extend(Walk { top: path, ..walk.clone() }.run(meta)?);
            }
        }
    }
    Ok(more)
}

/// One place that is walked.
#[derive(Clone)]
struct Walk<'a> {
    place: usize,
    top: PathBuf,
    /// None where everything goes along.
    since: Option<ChangeTime>,
    /// Whether the user has named the place, so that nothing in it is spared.
    named: bool,
    /// What is left alone, by the directory that it is in: to compare every path with all of it would take longer than to ask
    /// for its attributes.
    left: HashMap<PathBuf, HashSet<OsString>>,
    spared: &'a Spared,
}

/// What several threads work on.
#[derive(Default)]
struct Shared {
    directories: Vec<(PathBuf, Metadata)>,
    busy: usize,
    found: Vec<Found>,
    failed: Option<CarryError>,
}

impl<'a> Walk<'a> {
    fn new(number: usize, place: &Place, places: &'a [Place], spared: &'a Spared) -> Self {
        let named = place.kind.is_named();
        // What is named twice goes along as the user has named it.
        let others = places.iter().enumerate().filter(|(other, _)| *other != number && !named);
        let others = others.map(|(_, place)| place.path.as_path()).filter(|path| *path != place.path);
        let mut left: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        for path in others.chain(spared.tops(named)) {
            if let Some((parent, name)) = path.parent().zip(path.file_name()) {
                left.entry(parent.to_owned()).or_default().insert(name.to_owned());
            }
        }
        let since = (place.kind == PlaceKind::Layer).then(beginning::since);
        Self { place: number, top: place.path.clone(), since, named, left, spared }
    }

    fn run(&self, meta: Metadata) -> Result<Vec<Found>, CarryError> {
        if !meta.is_dir() {
            return Ok(vec![self.found(self.top.clone(), meta, None)]);
        }
        let all = Mutex::new(Shared { directories: vec![(self.top.clone(), meta)], ..Shared::default() });
        let (more, idle) = (Condvar::new(), AtomicUsize::new(0));
        let threads = thread::available_parallelism().map_or(1, |all| all.get().min(limits::WALKERS_MAX));
        thread::scope(|scope| {
            (0..threads).for_each(|_| drop(scope.spawn(|| self.share(&all, &more, &idle))));
        });
        let all = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = all.failed.map_or(Ok(all.found), Err)?;
        if self.since.is_some() { self.with_ancestors(found) } else { Ok(found) }
    }

    /// Takes one directory after the other until there are none left.
    fn share(&self, all: &Mutex<Shared>, more: &Condvar, idle: &AtomicUsize) {
        let mut shared = locked(all);
        loop {
            let Some(directory) = shared.directories.pop().filter(|_| shared.failed.is_none()) else {
                if shared.busy == 0 || shared.failed.is_some() {
                    return more.notify_all();
                }
                idle.fetch_add(1, Ordering::Relaxed);
                shared = more.wait(shared).unwrap_or_else(std::sync::PoisonError::into_inner);
                idle.fetch_sub(1, Ordering::Relaxed);
                continue;
            };
            shared.busy += 1;
            drop(shared);
            let walked = self.below(
                directory,
                &|spare| {
                    locked(all).directories.extend(spare);
                    more.notify_all();
                },
                idle,
            );
            shared = locked(all);
            shared.busy -= 1;
            match walked {
                Ok(found) => shared.found.extend(found),
                Err(error) => shared.failed = Some(error),
            }
        }
    }

    /// What goes along below a directory. To lock for each one would hold up all the others, so only when somebody is idle half
    /// of what is still to be done is given away.
    fn below(
        &self,
        top: (PathBuf, Metadata),
        give: &dyn Fn(Vec<(PathBuf, Metadata)>),
        idle: &AtomicUsize,
    ) -> Result<Vec<Found>, CarryError> {
        let (mut todo, mut found) = (vec![top], Vec::new());
        while let Some((path, meta)) = todo.pop() {
            self.directory(path, meta, &mut todo, &mut found)?;
            if todo.len() > 1 && idle.load(Ordering::Relaxed) > 0 {
                // Those at the beginning are nearest to the top, and so the largest.
                let rest = todo.split_off(todo.len() / 2);
                give(std::mem::replace(&mut todo, rest));
            }
        }
        Ok(found)
    }

    /// Adds the directories in one to `directories`, and to `found` what in it goes along.
    fn directory(
        &self,
        path: PathBuf,
        meta: Metadata,
        directories: &mut Vec<(PathBuf, Metadata)>,
        found: &mut Vec<Found>,
    ) -> Result<(), CarryError> {
        let (mut names, changed, left) = (Vec::new(), self.has_changed(&meta), self.left.get(&path));
        let at = taking(&path);
        let Some(entries) = unless_gone(fs::read_dir(&path)).map_err(&at)? else { return Ok(()) };
        for entry in entries {
            let entry = entry.map_err(&at)?;
            let name = entry.file_name();
            let is_left = left.is_some_and(|left| left.contains(&name)) || self.is_left(&path, &name);
            if !is_left {
                // Other containers of the pod do not stand still.
                let Some(meta) =
                    unless_gone(entry.metadata()).map_err(|error| taking(&path.join(&name))(error))?
                else {
                    continue;
                };
                if meta.is_dir() {
                    directories.push((path.join(&name), meta));
                } else if self.has_changed(&meta) {
                    found.push(self.found(path.join(&name), meta, None));
                }
            }
            if changed {
                names.push(name);
            }
        }
        if changed {
            found.push(self.found(path, meta, Some(names)));
        }
        Ok(())
    }

    fn is_left(&self, directory: &Path, name: &OsStr) -> bool {
        !self.named && self.spared.covers_name(directory, name)
    }

    fn has_changed(&self, meta: &Metadata) -> bool {
        self.since.is_none_or(|since| changed_at(meta) >= since)
    }

    fn found(&self, path: PathBuf, meta: Metadata, names: Option<Vec<OsString>>) -> Found {
        Found { place: self.place, path, meta, names }
    }

    /// With the directories that lead there, for a container whose image does not have them.
    fn with_ancestors(&self, mut found: Vec<Found>) -> Result<Vec<Found>, CarryError> {
        let known: BTreeSet<&Path> = found.iter().map(|found| found.path.as_path()).collect();
        let ancestors = found.iter().flat_map(|found| found.path.ancestors().skip(1));
        let missing: BTreeSet<PathBuf> = ancestors
            .filter(|path| path.starts_with(&self.top) && !known.contains(path))
            .map(PathBuf::from)
            .collect();
        for path in missing {
            let meta = path.symlink_metadata().map_err(taking(&path))?;
            found.push(self.found(path, meta, None));
        }
        Ok(found)
    }
}

fn names(path: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Bytes that are not holes, of every file once.
pub fn stored<'a>(found: impl Iterator<Item = &'a Found>) -> u64 {
    files(found).map(|(_, bytes)| bytes).sum()
}

/// Each file once, however many names it has, with its bytes that are not holes.
fn files<'a>(found: impl Iterator<Item = &'a Found>) -> impl Iterator<Item = (&'a Path, u64)> {
    let mut seen = BTreeSet::new();
    let files = found.filter(|found| found.meta.is_file());
    let once =
        files.filter(move |Found { meta, .. }| meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino())));
    once.map(|found| (found.path.as_path(), stored_of(&found.path, &found.meta)))
}

/// A block of stat(2) has 512 bytes. Some file systems keep small files in no block at all, and a file that is one hole has none.
fn stored_of(path: &Path, meta: &Metadata) -> u64 {
    match meta.blocks().saturating_mul(512) {
        0 if meta.len() <= limits::IN_NO_BLOCK_BYTES => meta.len(),
        0 => without_holes(path, meta.len()).unwrap_or(meta.len()),
        blocks => meta.len().min(blocks),
    }
}

fn without_holes(path: &Path, size: u64) -> io::Result<u64> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let (mut at, mut bytes) = (0, 0);
    while let Some((offset, end)) = extent(&file, at, size)? {
        (at, bytes) = (end, bytes + (end - offset));
    }
    Ok(bytes)
}

/// Refuses more than may go along. What the user names does not count: that is wanted.
///
/// # Errors
/// It is more; the largest paths are named.
pub fn within(found: &[Found], places: &[Place], allowed: u64) -> Result<(), CarryError> {
    let counted = || found.iter().filter(|found| !places[found.place].kind.is_named());
    let bytes = stored(counted());
    if bytes <= allowed {
        return Ok(());
    }
    Err(CarryError::TooMuch { found: bytes, allowed, largest: largest(files(counted())) })
}
