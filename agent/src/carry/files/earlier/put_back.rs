//! Puts files of a generation back to where they were. The volume may have been written by a stranger.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use crik_store::backend::no_links;
use crik_store::generation::contents::{Attributes, Members};

use super::copy::{CopyError, at, below, copy, make_directory};
use crate::base::headway::Headway;

/// Copies each of `paths` from its place below `store` back to where it was, with the attributes that `told` has of it.
///
/// The links of the container itself are followed on the way to a path, such as `/var/run`, and no link that is put back
/// here: a volume that somebody else has written must not say where in the container it is written to.
///
/// # Errors
/// The container's file system cannot be written there, or it was given up.
pub fn put_back(
    paths: &[PathBuf],
    store: &Path,
    told: Option<&Members>,
    headway: &Headway,
) -> Result<(), CopyError> {
    let targets: Vec<Target> = paths.iter().map(|path| Target::now(path)).collect();
    for (path, target) in paths.iter().zip(targets) {
        let from = below(store, path);
        headway.go_on(0).map_err(at(path))?;
        let told = |from: &Path| told.and_then(|members| attributes(members, store, from));
        no_links::directory(
            store,
            from.parent().and_then(|parent| parent.strip_prefix(store).ok()).unwrap_or(Path::new("")),
        )
        .and_then(|_| target.make())
        .and_then(|to| copy(&from, &to, &told, headway))
        .map_err(at(path))?;
    }
    Ok(())
}

/// Where a path leads before anything is put back.
struct Target {
    /// The part that is there, without links.
    there: PathBuf,
    /// The rest, which is made.
    missing: Vec<OsString>,
}

impl Target {
    fn now(path: &Path) -> Self {
        let mut missing: Vec<OsString> = path.file_name().map(OsStr::to_owned).into_iter().collect();
        let mut there = path.parent().unwrap_or(path);
        loop {
            match (there.canonicalize(), there.file_name(), there.parent()) {
                (Err(_), Some(name), Some(parent)) => {
                    missing.insert(0, name.to_owned());
                    there = parent;
                }
                (found, ..) => {
                    let there = found.unwrap_or_else(|_| there.to_owned());
                    return Self { there, missing };
                }
            }
        }
    }

    /// Makes the directories that lead there.
    fn make(self) -> io::Result<PathBuf> {
        let mut path = self.there;
        let (last, directories) = self.missing.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        for name in directories {
            path.push(name);
            make_directory(&path)?;
        }
        Ok(path.join(last))
    }
}

/// What the manifest tells of the copy at `from`, whose names begin at the generation.
fn attributes(members: &Members, store: &Path, from: &Path) -> Option<Attributes> {
    let generation = store.parent().unwrap_or(store);
    members.get(from.strip_prefix(generation).ok()?.to_str()?).cloned()
}
