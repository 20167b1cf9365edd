//! What a program watches by inotify(7) or fanotify(7): the kernel tells inodes, of which the next container has others, so CRIU is told
//! their paths.

mod find;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crik_store::backend::durable::create_private;
use thiserror::Error;

use self::find::{Ended, find};
use crate::base::edit::Edit;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::carry::kubelet_files;
use crate::carry::open_files;
use crate::tree::criu::images::{PATHS_FILE, paths_file};
use crate::tree::process::notify::{self, Inode};
use crate::tree::process::snapshot::{Tree, told};

/// Why a watch could not be made again elsewhere.
#[derive(Debug, Error)]
pub enum WatchedError {
    /// No path leads there.
    #[error(
        "process {process} watches (by inotify or fanotify) what no path leads to any more, inode {} {place}, and a watch is made again \
         by its path; let the program end its watch when what it watches is removed", inode.number
    )]
    NoPath {
        /// The process.
        process: String,
        /// What it watches.
        inode: Inode,
        /// Where that is.
        place: String,
    },
    /// It was not found in time.
    #[error(
        "process {process} watches (by inotify or fanotify) inode {} {place}, whose path was not found within {} s, and a watch is made \
         again by its path; let the program watch something with fewer files beside it", inode.number, limits::WATCHED_PATIENCE.as_secs()
    )]
    NotFound {
        /// The process.
        process: String,
        /// What it watches.
        inode: Inode,
        /// Where that is.
        place: String,
    },
    /// The next container does not have it.
    #[error(
        "process {process} watches {path}, and the next container would not have it; let it watch a directory on a volume, or put it \
         into additionalPaths"
    )]
    Elsewhere {
        /// The process.
        process: String,
        /// What it watches.
        path: PathBuf,
    },
    /// The list of paths cannot be written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The list, or what is read for it.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What a tree watches, and its paths.
#[derive(Debug, Default)]
pub struct Watched(BTreeMap<Inode, PathBuf>);

impl WatchedError {
    /// What to write for it.
    #[must_use]
    pub fn edit(&self) -> Option<Edit> {
        match self {
            Self::Elsewhere { path, .. } => Some(Edit::goes_along([path.as_path()])),
            Self::NoPath { .. } | Self::NotFound { .. } | Self::Io { .. } => None,
        }
    }
}

impl Watched {
    /// Finds the path of everything that `tree` watches. Blocks, for longer if something new is watched.
    ///
    /// # Errors
    /// Something has no path, or none that the next container has too, unless it `goes_along`.
    pub fn find(
        tree: &Tree,
        goes_along: &dyn Fn(&Path) -> bool,
        headway: &Headway,
    ) -> Result<Self, WatchedError> {
        Self::find_within(limits::WATCHED_PATIENCE, tree, goes_along, headway)
    }

    /// What of `tree` would be refused by [`Self::find`], as far as a short look shows it.
    pub fn obstacle(tree: &Tree, goes_along: &dyn Fn(&Path) -> bool) -> Option<WatchedError> {
        Self::find_within(limits::WATCHED_LOOK_PATIENCE, tree, goes_along, &Headway::default())
            .err()
            .filter(|error| matches!(error, WatchedError::NoPath { .. } | WatchedError::Elsewhere { .. }))
    }

    fn find_within(
        patience: Duration,
        tree: &Tree,
        goes_along: &dyn Fn(&Path) -> bool,
        headway: &Headway,
    ) -> Result<Self, WatchedError> {
        let watchers = watchers(tree);
        let (mut paths, ended) = find(watchers.keys().copied().collect(), patience, headway);
        let process = |inode: &Inode| watchers.get(inode).map(|pid| told(*pid)).unwrap_or_default();
        if let Some(inode) = watchers.keys().find(|inode| !paths.contains_key(inode)).copied() {
            let (process, place) = (process(&inode), find::place(inode));
            return Err(match ended {
                Ended::Complete => WatchedError::NoPath { process, inode, place },
                Ended::Early => WatchedError::NotFound { process, inode, place },
            });
        }
        let missing = open_files::missing(paths.values().map(PathBuf::as_path), goes_along)
            .map_err(|source| WatchedError::Io { path: "/proc/self/mountinfo".into(), source })?;
        if let Some((inode, path)) = paths.iter().find(|(_, path)| missing.contains(&path.as_path())) {
            return Err(WatchedError::Elsewhere { process: process(inode), path: path.clone() });
        }
        for path in paths.values_mut() {
            *path = kubelet_files::by_link(path).unwrap_or_else(|| path.clone());
        }
        Ok(Self(paths))
    }

    /// Tells them to the dump whose images go to this directory. To be called before CRIU freezes the tree.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn tell(&self, images: &Path) -> Result<(), WatchedError> {
        let list = images.join(PATHS_FILE);
        if self.0.is_empty() && !list.exists() {
            return Ok(());
        }
        let paths = self.0.iter().map(|(inode, path)| (inode.device, inode.number, path.as_path()));
        create_private(&list, &paths_file(paths))
            .map(drop)
            .map_err(|source| WatchedError::Io { path: list.clone(), source })
    }

    /// Whether `tree` watches nothing else.
    pub fn is_all_of(&self, tree: &Tree) -> bool {
        watchers(tree).keys().all(|inode| self.0.contains_key(inode))
    }
}

/// Removes what the dump was told: the inodes are those of this container.
///
/// # Errors
/// The directory cannot be written.
pub fn forget_paths(images: &Path) -> io::Result<()> {
    match std::fs::remove_file(images.join(PATHS_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Each thing that is watched, and a process that does.
fn watchers(tree: &Tree) -> BTreeMap<Inode, i32> {
    let watched: Vec<(i32, BTreeSet<Inode>)> =
        tree.0.iter().map(|process| (process.pid, notify::watched(process.pid))).collect();
    watched.into_iter().flat_map(|(pid, inodes)| inodes.into_iter().map(move |inode| (inode, pid))).collect()
}
