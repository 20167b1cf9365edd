//! Finds what an image names and the next container cannot have, while the tree is still frozen and can be told to stop.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::lost_names::LostNames;
use super::mounts::{Mount, Mounts};
use crate::base::limits;
use crate::carry::kubelet_files;
use crate::store::image_dir::ImageDirError;
use crate::tree::criu::images::{self, ImageError};

/// Why the tree could not go on elsewhere.
#[derive(Debug, Error)]
pub enum ReachableError {
    /// It has something open that the next container does not have.
    #[error(
        "the program has {what} open, and the next container would not have {them}: let it use a directory on a volume, or put \
         {them} into additionalPaths"
    )]
    Missing {
        /// What it has open.
        what: String,
        /// What to call that.
        them: &'static str,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What is mounted cannot be learned.
    #[error(transparent)]
    Mounts(#[from] ImageDirError),
}

/// What the next container has besides the files of the container's image and volumes.
pub struct Carried<'a> {
    /// Whether what is at a path goes along with the checkpoint.
    pub goes_along: &'a dyn Fn(&Path) -> bool,
    /// A file that was made when the tree began, or put back before it went on: what changed later is no file of the
    /// container's image.
    pub beginning: &'a Path,
}

/// Looks at every name in the images in `directory`: open and mapped files, working directories, and the directories of UNIX
/// sockets. Those of `names` are kept in another way.
///
/// # Errors
/// The next container would not have one.
pub fn refuse_unreachable(
    directory: &Path,
    names: &LostNames,
    carried: &Carried<'_>,
) -> Result<(), ReachableError> {
    let place = Path::new("/proc/self/mountinfo");
    let mounts =
        Mounts::here().map_err(|source| ImageDirError::Io { what: "read", path: place.into(), source })?;
    let began =
        fs::symlink_metadata(carried.beginning).ok().filter(|_| mounts.volume(carried.beginning).is_none());
    let next = Next { mounts, began: began.map(|meta| changed(&meta)), carried };
    let missing: Vec<PathBuf> = named(directory)?
        .into_iter()
        .filter(|path| !names.files.iter().any(|file| file.name == *path) && !next.has(path))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let told: Vec<String> =
        missing.iter().take(limits::PATHS_TOLD).map(|path| path.display().to_string()).collect();
    let more = if missing.len() > told.len() {
        format!(" and {} more", missing.len() - told.len())
    } else {
        String::new()
    };
    let them = if missing.len() == 1 { "it" } else { "them" };
    Err(ReachableError::Missing { what: told.join(", ") + &more, them })
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

struct Next<'a> {
    mounts: Mounts,
    began: Option<(i64, i64)>,
    carried: &'a Carried<'a>,
}

impl Next<'_> {
    /// Whether the next container has what is at `path`. What is not there has no name any more, and is in the image.
    fn has(&self, path: &Path) -> bool {
        let Ok(meta) = fs::symlink_metadata(path) else { return true };
        let Some(mount) = self.mounts.of(path) else { return true };
        mount.point == path
            || kubelet_files::is_one(path)
            || (self.carried.goes_along)(path)
            || match self.kind(mount) {
                Kind::Same => true,
                Kind::Layer => self.began.is_none_or(|began| changed(&meta) < began),
                Kind::Empty => meta.file_type().is_char_device(),
            }
    }

    fn kind(&self, mount: &Mount) -> Kind {
        if mount.point == Path::new("/") {
            return Kind::Layer;
        }
        let is_empty_dir = mount.root.to_string_lossy().contains(limits::EMPTY_DIR);
        let in_memory = ["tmpfs", "ramfs"].contains(&mount.kind.as_str());
        // What cannot be written was put there by who made the container.
        if (is_empty_dir || in_memory) && !mount.is_read_only { Kind::Empty } else { Kind::Same }
    }
}

/// What the next container has of a file system.
enum Kind {
    /// The same, or what the kernel or the kubelet puts there.
    Same,
    /// The container's image, without what changed since.
    Layer,
    /// Nothing but what goes along; of `/dev` the devices.
    Empty,
}

fn changed(meta: &Metadata) -> (i64, i64) {
    (meta.ctime(), meta.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_there_at_the_beginning_is_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            path
        };
        let [before, beginning, after, along] = ["before", "beginning", "after", "along"].map(made);
        let carried = Carried { goes_along: &|path| path == along, beginning: &beginning };
        let began = Some(changed(&fs::metadata(&beginning).unwrap()));
        let next = |kind: &str, point: &Path| Next {
            mounts: Mounts::of_test(&[(point, kind)]),
            began,
            carried: &carried,
        };
        let layer = next("overlay", Path::new("/"));
        assert!(layer.has(&before) && layer.has(&along) && !layer.has(&after));
        assert!(layer.has(&dir.path().join("gone")), "it is in the image");
        let memory = next("tmpfs", dir.path());
        assert!(memory.has(dir.path()) && memory.has(&along) && !memory.has(&before));
        let volume = next("nfs4", dir.path());
        assert!(volume.has(&before) && volume.has(&after));
    }
}
