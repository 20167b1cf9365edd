//! Finds what goes along: in the container's layer what has changed since the agent's start, in all other places everything.
//!
//! What has changed is told by its change time, which no program can set. A directory in which a name was made or removed has
//! changed too, so all names in it go along: by them the next start knows what was removed, without anybody having to read the
//! whole image at a start to remember what had been there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

use super::beginning::{self, ChangeTime, changed_at};
use super::error::{CarryError, taking};
use super::others::is_hidden;
use super::places::{Place, PlaceKind};
use super::spared::Spared;
use super::watches::Watches;
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
    /// Whether it is a directory of somebody else's, in which we cannot look.
    pub hidden: bool,
    /// Whether it is a file that the image has, as far as that is known.
    pub of_image: bool,
}

/// All that goes along of these places, or of those among them that are `wanted`; what holds other things comes before them.
///
/// # Errors
/// Something cannot be read.
pub fn walk(
    places: &[Place],
    spared: &Spared,
    wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Found>, CarryError> {
    let mut all = Vec::new();
    for (number, place) in places.iter().enumerate().filter(|(number, _)| wanted(*number)) {
        let walk = Walk::new(number, place, places, spared);
        if let Some(meta) = unless_gone(place.path.symlink_metadata()).map_err(taking(&place.path))? {
            all.extend(sorted(walk.run(meta)?));
        }
    }
    Ok(all)
}

/// With what holds other things before them.
pub fn sorted(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
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
                more.extend(walk.at(path).run(meta)?);
            }
        }
    }
    Ok(more)
}

/// One place that is walked.
#[derive(Clone)]
pub struct Walk<'a> {
    place: usize,
    /// Where it begins.
    pub top: PathBuf,
    /// From which change on something goes along; none where everything does.
    pub since: Option<ChangeTime>,
    /// Whether the user has named the place, so that nothing in it is spared.
    named: bool,
    /// What is left alone, by the directory that it is in: to compare every path with all of it would take longer than to ask
    /// for its attributes.
    left: HashMap<PathBuf, HashSet<OsString>>,
    spared: &'a Spared,
    /// Told of each directory before it is read.
    watches: Option<&'a Watches>,
}

/// What a walk has found.
#[derive(Default)]
pub struct Walked {
    /// What goes along.
    pub found: Vec<Found>,
    /// Of what does not, where it is watched what changes: the files that have several names, since only the one tells of a change
    /// by which it was changed.
    pub with_more_names: Vec<PathBuf>,
}

/// What several threads work on.
#[derive(Default)]
struct Shared {
    directories: Vec<(PathBuf, Metadata)>,
    busy: usize,
    walked: Walked,
    failed: Option<CarryError>,
}

impl<'a> Walk<'a> {
    /// Of the place with this number.
    pub fn new(number: usize, place: &Place, places: &'a [Place], spared: &'a Spared) -> Self {
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
        Self { place: number, top: place.path.clone(), since, named, left, spared, watches: None }
    }

    /// With these told of each directory.
    pub fn watched(self, watches: &'a Watches) -> Self {
        Self { watches: Some(watches), ..self }
    }

    /// Of a part of the place.
    pub fn at(&self, top: PathBuf) -> Self {
        Self { top, ..self.clone() }
    }

    /// All that goes along, with the directories that lead there.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn run(&self, meta: Metadata) -> Result<Vec<Found>, CarryError> {
        let found = self.below_top(meta)?.found;
        if self.since.is_some() { self.with_ancestors(found) } else { Ok(found) }
    }

    /// All that goes along.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn below_top(&self, meta: Metadata) -> Result<Walked, CarryError> {
        if !meta.is_dir() {
            let found = vec![self.found(self.top.clone(), meta, None)];
            return Ok(Walked { found, ..Walked::default() });
        }
        let all = Mutex::new(Shared { directories: vec![(self.top.clone(), meta)], ..Shared::default() });
        let (more, idle) = (Condvar::new(), AtomicUsize::new(0));
        let threads = thread::available_parallelism().map_or(1, |all| all.get().min(limits::WALKERS_MAX));
        thread::scope(|scope| {
            (0..threads).for_each(|_| drop(scope.spawn(|| self.share(&all, &more, &idle))));
        });
        let all = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.failed.map_or(Ok(all.walked), Err)
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
                Ok(walked) => {
                    shared.walked.found.extend(walked.found);
                    shared.walked.with_more_names.extend(walked.with_more_names);
                }
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
    ) -> Result<Walked, CarryError> {
        let (mut todo, mut walked) = (vec![top], Walked::default());
        while let Some((path, meta)) = todo.pop() {
            self.directory(path, meta, &mut todo, &mut walked)?;
            if todo.len() > 1 && idle.load(Ordering::Relaxed) > 0 {
                // Those at the beginning are nearest to the top, and so the largest.
                let rest = todo.split_off(todo.len() / 2);
                give(std::mem::replace(&mut todo, rest));
            }
        }
        Ok(walked)
    }

    /// Adds the directories in one to `directories`, and to `walked` what in it goes along.
    fn directory(
        &self,
        path: PathBuf,
        meta: Metadata,
        directories: &mut Vec<(PathBuf, Metadata)>,
        walked: &mut Walked,
    ) -> Result<(), CarryError> {
        let at = taking(&path);
        let Some(meta) = self.watch(&path, meta).map_err(&at)? else { return Ok(()) };
        let (mut names, changed, left) = (Vec::new(), self.has_changed(&meta), self.left.get(&path));
        let entries = match unless_gone(fs::read_dir(&path)) {
            Err(error) if is_hidden(&meta, &error) => {
                walked.found.extend(changed.then(|| Found { hidden: true, ..self.found(path, meta, None) }));
                return Ok(());
            }
            entries => entries.map_err(&at)?,
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(&at)?;
            let name = entry.file_name();
            let is_left = left.is_some_and(|left| left.contains(&name)) || self.is_left(&path, &name);
            if !is_left {
                // Other containers of the pod do not stand still.
                let met = unless_gone(entry.metadata());
                if met.as_ref().is_err_and(|error| is_hidden(&meta, error)) {
                    walked.found.extend(
                        changed.then(|| Found { hidden: true, ..self.found(path.clone(), meta, None) }),
                    );
                    return Ok(());
                }
                let Some(meta) = met.map_err(|error| taking(&path.join(&name))(error))? else { continue };
                if meta.is_dir() {
                    directories.push((path.join(&name), meta));
                } else if self.has_changed(&meta) {
                    walked.found.push(self.found(path.join(&name), meta, None));
                } else if self.watches.is_some() && meta.nlink() > 1 {
                    walked.with_more_names.push(path.join(&name));
                }
            }
            if changed {
                names.push(name);
            }
        }
        if changed {
            walked.found.push(self.found(path, meta, Some(names)));
        }
        Ok(())
    }

    /// What was known of a directory may be over by the time that it is watched.
    fn watch(&self, path: &Path, meta: Metadata) -> io::Result<Option<Metadata>> {
        let Some(watches) = self.watches else { return Ok(Some(meta)) };
        watches.add(path);
        Ok(unless_gone(path.symlink_metadata())?.filter(Metadata::is_dir))
    }

    /// What `path` is now, if it is in this place and goes along; a directory with its names.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn look_at(&self, path: &Path) -> Result<Option<Found>, CarryError> {
        let at = taking(path);
        let meta = if self.holds(path) { unless_gone(path.symlink_metadata()).map_err(&at)? } else { None };
        let Some(meta) = meta.filter(|meta| self.has_changed(meta)) else { return Ok(None) };
        let names = if meta.is_dir() { unless_gone(names(path)) } else { Ok(None) };
        let hidden = names.as_ref().is_err_and(|error| is_hidden(&meta, error));
        let names = if hidden { None } else { names.map_err(&at)? };
        Ok(Some(Found { hidden, ..self.found(path.to_owned(), meta, names) }))
    }

    /// Whether `path` is in this place, and neither it nor what it is in is left alone.
    pub fn holds(&self, path: &Path) -> bool {
        let mut within = path.ancestors().take_while(|path| *path != self.top);
        path.starts_with(&self.top)
            && !within.any(|path| {
                let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return true };
                self.left.get(directory).is_some_and(|left| left.contains(name))
                    || self.is_left(directory, name)
            })
    }

    /// Whether `path` is on the mount where the walk begins.
    pub fn is_on_its_mount(&self, path: &Path) -> bool {
        self.spared.mounts().of(path) == self.top
    }

    fn is_left(&self, directory: &Path, name: &OsStr) -> bool {
        !self.named && self.spared.covers_name(directory, name)
    }

    /// Whether it goes along, if it is in this place.
    pub fn has_changed(&self, meta: &Metadata) -> bool {
        self.since.is_none_or(|since| changed_at(meta) >= since)
    }

    fn found(&self, path: PathBuf, meta: Metadata, names: Option<Vec<OsString>>) -> Found {
        Found { place: self.place, path, meta, names, hidden: false, of_image: false }
    }

    /// With the directories that lead there, for a container whose image does not have them.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn with_ancestors(&self, mut found: Vec<Found>) -> Result<Vec<Found>, CarryError> {
        let known: BTreeSet<&Path> = found.iter().map(|found| found.path.as_path()).collect();
        let ancestors = found.iter().flat_map(|found| found.path.ancestors().skip(1));
        let missing: BTreeSet<PathBuf> = ancestors
            .filter(|path| path.starts_with(&self.top) && !known.contains(path))
            .map(PathBuf::from)
            .collect();
        for path in missing {
            // One may have changed since it was looked at: where layers lie upon each other (overlayfs), what is below changes it.
            let known = self.look_at(&path)?;
            let meta = path.symlink_metadata().map_err(taking(&path))?;
            found.push(known.unwrap_or_else(|| self.found(path, meta, None)));
        }
        Ok(found)
    }
}

fn names(path: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// What has gone meanwhile is nothing.
pub fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}
