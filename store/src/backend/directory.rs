//! An image directory on a volume. Only rename, exclusive create and fsync are relied on, so that it works on NFS.

mod large;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use crate::backend::durable::{create_nameless, ignore_missing, remove_tree, sync_names};
use crate::backend::large::{Sink, Source};
use crate::backend::{Backend, Kind, Listed, Look, Name, no_links};
use crate::base::watchdog::moved;
use large::{Opened, Written};

/// A directory of the file system.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// At this path.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self(root.into())
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.0.join(name.as_path())
    }
}

impl Backend for Directory {
    fn root(&self) -> &Path {
        &self.0
    }

    fn make(&self, directory: &Name) -> io::Result<()> {
        moved();
        DirBuilder::new().mode(0o700).create(self.path(directory))
    }

    fn make_all(&self, directory: &Name) -> io::Result<()> {
        moved();
        DirBuilder::new().recursive(true).mode(0o700).create(self.path(directory))
    }

    fn read(&self, file: &Name, most: u64) -> io::Result<Vec<u8>> {
        no_links::read_at_most(&self.path(&file.parent()), Path::new(file.last()), most)
    }

    fn create(&self, file: &Name, contents: &[u8]) -> io::Result<()> {
        create_nameless(&self.path(file), contents)
    }

    fn write(&self, file: &Name, contents: &[u8]) -> io::Result<()> {
        moved();
        fs::write(self.path(file), contents)
    }

    fn begin(&self, file: &Name) -> io::Result<Box<dyn Sink>> {
        moved();
        Ok(Box::new(Written::begin(&self.path(file))?))
    }

    fn open(&self, file: &Name) -> io::Result<Box<dyn Source>> {
        Ok(Box::new(Opened::open(&self.path(file))?))
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        moved();
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        remove_tree(&self.path(name))
    }

    fn list(&self, directory: &Name) -> io::Result<Vec<Listed>> {
        moved();
        let listed = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            Ok(Listed { name: entry.file_name().to_string_lossy().into_owned(), is_directory })
        };
        fs::read_dir(self.path(directory))?.map(listed).collect()
    }

    fn look(&self, name: &Name) -> io::Result<Look> {
        moved();
        let found = self.path(name).symlink_metadata()?;
        let kind = match found.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::File,
        };
        Ok(Look { kind, identity: found.ino() })
    }

    fn sync(&self, directory: &Name) -> io::Result<()> {
        moved();
        sync_names(&self.path(directory))
    }

    /// NFS clients remember names and listings for up to a minute (nfs(5), `acdirmax`), except of directories that they have just
    /// changed themselves.
    fn refresh(&self, directory: &Name) -> io::Result<()> {
        moved();
        let changed = self.path(&directory.join("refresh"));
        match fs::create_dir(&changed) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => ignore_missing(fs::remove_dir(&changed)),
        }
    }

    fn stored(&self, directory: &Name) -> io::Result<u64> {
        stored(&self.path(directory))
    }

    fn free(&self) -> io::Result<u64> {
        free(&self.0)
    }

    /// What has no name is not there.
    fn sweep(&self, _: &Name) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that what is at `path` takes on the volume. A block of stat(2) has 512.
fn stored(path: &Path) -> io::Result<u64> {
    let meta = path.symlink_metadata()?;
    if !meta.is_dir() {
        return Ok(meta.blocks() * 512);
    }
    fs::read_dir(path)?.map(|entry| stored(&entry?.path())).sum()
}

/// Free bytes of a file system. One that does not tell its size does not tell what is free either.
///
/// # Errors
/// It cannot be asked.
pub fn free(path: &Path) -> io::Result<u64> {
    let volume = statvfs(path)?;
    let known = volume.blocks() > 0;
    Ok(if known { volume.blocks_available().saturating_mul(volume.fragment_size()) } else { u64::MAX })
}

/// False only if it is known to be none: a volume that fails is not a volume that was forgotten.
///
/// # Errors
/// It cannot be looked at.
pub fn is_directory(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(found?.is_dir()),
    }
}
