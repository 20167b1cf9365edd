//! Finds what an image names and the next container cannot have, while the tree is still frozen and can be told to stop.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::lost_names::LostNames;
use super::note;
use super::volumes::{Next, Volumes};
use crate::base::edit::Edit;
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};
use crate::carry::files::beginning::{self, ChangeTime, changed_at};
use crate::carry::kubelet_files;
use crate::tree::criu::images::{self, ImageError};
use crate::tree::process::snapshot::{Tree, open_files};

/// Why the tree could not go on elsewhere.
#[derive(Debug, Error)]
pub enum UnreachableError {
    /// It has something open that the next container does not have.
    #[error(
        "the program has {what} open, and the next container would not have {them}; let it use a directory on a volume, or put \
         {them} into additionalPaths"
    )]
    Missing {
        /// What it has open.
        what: String,
        /// What to call that.
        them: &'static str,
        /// All of it.
        paths: Vec<PathBuf>,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What is mounted cannot be learned.
    #[error("cannot read what is mounted: {0}")]
    Mounts(io::Error),
}

impl UnreachableError {
    /// What to write, so that the next container has it.
    #[must_use]
    pub fn edit(&self) -> Option<Edit> {
        let Self::Missing { paths, .. } = self else { return None };
        Some(Edit::goes_along(paths.iter().map(PathBuf::as_path)))
    }
}

impl HasOutlook for UnreachableError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Image(ImageError::Io { source, .. }) => source.outlook(),
            _ => Outlook::Lasting,
        }
    }
}

/// Looks at every name in the images in `directory`: open and mapped files, working directories, and the directories of UNIX
/// sockets. Those of `names` are kept in another way, and what `goes_along` the next container gets.
///
/// # Errors
/// The next container would not have one.
pub fn refuse_unreachable(
    directory: &Path,
    names: &LostNames,
    goes_along: &dyn Fn(&Path) -> bool,
) -> Result<(), UnreachableError> {
    let container = NextContainer::new(goes_along).map_err(UnreachableError::Mounts)?;
    let is_missing = |path: &PathBuf| !names.has(path) && !container.has(path);
    let missing: Vec<PathBuf> = named(directory)?.into_iter().filter(is_missing).collect();
    if missing.is_empty() { Ok(()) } else { Err(told(&missing)) }
}

/// The same for a tree that runs: what it has open or mapped, and where its processes work.
///
/// # Errors
/// The next container would not have one, as it is now.
pub fn refuse_missing(tree: &Tree, goes_along: &dyn Fn(&Path) -> bool) -> Result<(), UnreachableError> {
    let paths: BTreeSet<PathBuf> = tree.0.iter().flat_map(|process| used(process.pid)).collect();
    let missing =
        missing(paths.iter().map(PathBuf::as_path), goes_along).map_err(UnreachableError::Mounts)?;
    let missing: Vec<PathBuf> = missing.into_iter().map(Path::to_owned).collect();
    if missing.is_empty() { Ok(()) } else { Err(told(&missing)) }
}

/// Paths that a process has open, that are its own, or that it has mapped (proc(5)).
fn used(pid: i32) -> impl Iterator<Item = PathBuf> {
    let own = ["cwd", "root", "exe"].into_iter();
    let own = own.filter_map(move |name| fs::read_link(format!("/proc/{pid}/{name}")).ok());
    let all = open_files(pid).into_iter().chain(own).chain(note::mapped_paths(pid));
    all.filter(|path| path.is_absolute())
}

/// Those of `paths` that the next container would not have, unless they go along.
///
/// # Errors
/// What is mounted cannot be learned.
pub fn missing<'a>(
    paths: impl Iterator<Item = &'a Path>,
    goes_along: &dyn Fn(&Path) -> bool,
) -> io::Result<Vec<&'a Path>> {
    let container = NextContainer::new(goes_along)?;
    Ok(paths.filter(|path| !container.has(path)).collect())
}

/// The error that names what is missing.
fn told(missing: &[PathBuf]) -> UnreachableError {
    let named: Vec<String> =
        missing.iter().take(limits::PATHS_TOLD).map(|path| path.display().to_string()).collect();
    let more = match missing.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let them = if missing.len() == 1 { "it" } else { "them" };
    UnreachableError::Missing { what: named.join(", ") + &more, them, paths: missing.to_vec() }
}

/// All paths that CRIU opens, and the directories in which it makes sockets.
fn named(directory: &Path) -> Result<BTreeSet<PathBuf>, ImageError> {
    let files = images::open_files(directory)?;
    let damaged = |what| images::damaged(directory, what);
    let mut paths: BTreeSet<PathBuf> =
        files.regular_files().map_err(damaged)?.into_iter().map(|file| file.path).collect();
    for socket in files.unix_sockets().map_err(damaged)? {
        let path = Path::new(OsStr::from_bytes(&socket.name));
        // An abstract name begins with a zero (unix(7)).
        paths.extend(path.is_absolute().then(|| path.parent()).flatten().map(Path::to_owned));
    }
    Ok(paths)
}

/// Whether the next container has what this one has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It has it by itself.
    There,
    /// It goes along.
    Along,
    /// Nothing is there: it has no name any more, and is in the image.
    Nameless,
    /// It has not.
    Missing,
}

/// The container in which a checkpoint of this one's program would go on.
pub struct NextContainer<'a> {
    volumes: Volumes,
    /// From when on a change is none of the container's image.
    since: ChangeTime,
    goes_along: &'a dyn Fn(&Path) -> bool,
}

impl<'a> NextContainer<'a> {
    /// The one that gets what `goes_along`.
    ///
    /// # Errors
    /// What is mounted cannot be learned.
    pub fn new(goes_along: &'a dyn Fn(&Path) -> bool) -> io::Result<Self> {
        Ok(Self { volumes: Volumes::here()?, since: beginning::since(), goes_along })
    }

    /// Whether it has what is at `path`.
    #[must_use]
    pub fn reach(&self, path: &Path) -> Reach {
        let Ok(meta) = fs::symlink_metadata(path) else { return Reach::Nameless };
        let (point, next) = self.volumes.next(path);
        let is_there = match next {
            _ if point == path || kubelet_files::is_one(path) => true,
            Next::Same | Next::Likewise => true,
            Next::Image => changed_at(&meta) < self.since,
            Next::Nothing => meta.file_type().is_char_device(),
        };
        match is_there {
            true => Reach::There,
            false if (self.goes_along)(path) => Reach::Along,
            false => Reach::Missing,
        }
    }

    fn has(&self, path: &Path) -> bool {
        self.reach(path) != Reach::Missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_but_not_without_end() {
        let path = |number: usize| PathBuf::from(format!("/tmp/{number}"));
        assert!(
            told(&[path(1)])
                .to_string()
                .contains("has /tmp/1 open, and the next container would not have it")
        );
        let many: Vec<PathBuf> = (0..8).map(path).collect();
        let told = told(&many).to_string();
        assert!(told.contains("/tmp/4 and 3 more open") && told.contains("not have them"), "{told}");
    }
}
