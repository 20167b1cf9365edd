//! Learns what changes in directories while nobody looks (inotify(7)), from the first look at the files until the freeze.
//!
//! A watched directory tells of every name that is made, moved or removed in it, and of every file in it whose contents,
//! attributes or extended attributes change, but for three: what is written through a mapping, what is written under another name
//! of the same file, and the new name itself of a file that gets one elsewhere. Who looks again knows those otherwise: see
//! [`super::first_look`].

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use crate::base::limits;
use crate::base::panics::locked;

/// What may have become of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// The same file has changed.
    Changed,
    /// Another file may have the name, or none.
    Replaced,
}

/// What has changed, by the directory that it is in; in each directory that is named, its own attributes may have.
pub type Changes = BTreeMap<PathBuf, BTreeMap<OsString, Touched>>;

/// Why it is not known what has changed. Then everything is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsure(pub &'static str);

/// Directories that are watched as long as this exists.
#[derive(Debug)]
pub struct Watches(Arc<Watching>);

#[derive(Debug)]
struct Watching {
    inotify: Inotify,
    allowed: usize,
    state: Mutex<State>,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    paths: HashMap<WatchDescriptor, PathBuf>,
    touched: HashMap<WatchDescriptor, BTreeMap<OsString, Touched>>,
    names: usize,
    unsure: Option<Unsure>,
}

impl Watches {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel has no more of them for this user.
    pub fn new() -> Result<Self, Unsure> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
        let inotify =
            inotify.map_err(|_| Unsure("the kernel has no more inotify instances for this user"))?;
        let watching =
            Arc::new(Watching { inotify, allowed: allowed(), state: Mutex::default(), over: false.into() });
        let reads = Arc::clone(&watching);
        // It also ends the watches, which takes the kernel some milliseconds: the last one who knows them is this thread.
        thread::spawn(move || {
            while !reads.over.load(Ordering::Relaxed) {
                reads.read(&mut locked(&reads.state));
                thread::sleep(limits::WATCHES_POLL);
            }
        });
        Ok(Self(watching))
    }

    /// Watches a directory too. To be called before what is in it is looked at.
    pub fn add(&self, directory: &Path) {
        let told = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        let mut state = locked(&self.0.state);
        if state.unsure.is_some() {
            return;
        }
        if state.paths.len() >= self.0.allowed {
            return state.doubt("it has more directories than may be watched (fs.inotify.max_user_watches)");
        }
        drop(state);
        let added = self.0.inotify.add_watch(directory, told);
        let mut state = locked(&self.0.state);
        match added {
            Ok(watch) => drop(state.paths.insert(watch, directory.to_owned())),
            // The directory above is watched, and has told of it.
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            // What is in it cannot be looked at either.
            Err(Errno::EACCES) => {}
            Err(_) => state.doubt("a directory cannot be watched"),
        }
    }

    /// What has changed until now.
    ///
    /// # Errors
    /// There may be more than is known.
    pub fn changes(&self) -> Result<Changes, Unsure> {
        let mut state = locked(&self.0.state);
        self.0.read(&mut state);
        match state.unsure {
            Some(unsure) => Err(unsure),
            None => Ok(state.changes()),
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

impl Watching {
    /// Takes all that the kernel has to tell.
    fn read(&self, state: &mut State) {
        loop {
            match self.inotify.read_events() {
                Ok(events) => events.into_iter().for_each(|event| state.note(event)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => return state.doubt("what has changed cannot be read"),
            }
        }
    }
}

impl State {
    fn note(&mut self, event: InotifyEvent) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return self.doubt("the program changed more at once than the kernel remembers");
        }
        if event.mask.contains(AddWatchFlags::IN_UNMOUNT) {
            return self.doubt("something was unmounted");
        }
        // The directory itself has gone, of which the one above tells.
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            return;
        }
        let names = self.touched.entry(event.wd).or_default();
        let Some(name) = event.name else { return };
        let same = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_ATTRIB;
        let touched = if same.intersects(event.mask) { Touched::Changed } else { Touched::Replaced };
        let before = names.len();
        names.entry(name).and_modify(|known| *known = (*known).max(touched)).or_insert(touched);
        self.names += names.len() - before;
        if self.names > limits::TOUCHED_MAX {
            self.doubt("the program changes too many files");
        }
    }

    fn doubt(&mut self, why: &'static str) {
        self.unsure.get_or_insert(Unsure(why));
        self.touched.clear();
    }

    fn changes(&self) -> Changes {
        let mut changes = Changes::new();
        for (watch, names) in &self.touched {
            if let Some(path) = self.paths.get(watch) {
                changes.entry(path.clone()).or_default().extend(names.clone());
            }
        }
        changes
    }
}

/// How many directories may be watched.
fn allowed() -> usize {
    let most = std::fs::read_to_string(limits::WATCHES_MAX).ok();
    most.and_then(|most| most.trim().parse::<usize>().ok()).unwrap_or_default() / limits::WATCHES_SHARE
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn touched(changes: &Changes, path: &Path) -> Option<Touched> {
        changes.get(path.parent().unwrap())?.get(path.file_name().unwrap()).copied()
    }

    #[test]
    fn it_is_told_what_has_changed_and_what_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["written", "moved", "removed", "left"] {
            fs::write(at(name), "").unwrap();
        }
        let watches = Watches::new().unwrap();
        watches.add(dir.path());
        fs::write(at("written"), "x").unwrap();
        fs::rename(at("moved"), at("here")).unwrap();
        fs::remove_file(at("removed")).unwrap();
        let changes = watches.changes().unwrap();
        assert_eq!(touched(&changes, &at("written")), Some(Touched::Changed));
        for name in ["moved", "here", "removed"] {
            assert_eq!(touched(&changes, &at(name)), Some(Touched::Replaced), "{name}");
        }
        assert_eq!(touched(&changes, &at("left")), None);
    }

    #[test]
    fn a_directory_that_has_gone_meanwhile_is_no_reason_to_doubt() {
        let watches = Watches::new().unwrap();
        watches.add(Path::new("/no/such/directory"));
        assert_eq!(watches.changes(), Ok(Changes::new()));
    }

    #[test]
    fn what_cannot_be_watched_makes_it_unsure() {
        let (dir, watches) = (tempfile::tempdir().unwrap(), Watches::new().unwrap());
        locked(&watches.0.state).doubt("of a test");
        watches.add(dir.path());
        fs::write(dir.path().join("new"), "").unwrap();
        assert_eq!(watches.changes(), Err(Unsure("of a test")));
    }
}
