//! Tries what crik needs of a volume, on the volume itself: no list of file systems could be complete, nor does its name tell how one
//! is mounted.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::backend::durable::{remove_tree, sync_names};
use crate::base::limits;
use crate::base::retry::{HasOutlook as _, Outlook};
use crate::image_dir::ImageDir;
use crate::image_dir::hold::PROBE;
use crate::image_dir::names::holders;

/// What a volume cannot do, and what to do about it.
#[derive(Debug, Error)]
pub enum Lack {
    /// No directory or file can be made or written.
    #[error(
        "the volume cannot be written: {what}: {source}; mount it read-write, with room and without a used-up quota"
    )]
    Unwritable {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Nobody knows what a loss of power leaves.
    #[error("the volume cannot make a file durable (fsync: {0}); use another kind of volume")]
    NotDurable(io::Error),
    /// There is no way to make a checkpoint appear whole.
    #[error(
        "the volume cannot rename {what}: {source}; buckets that are mounted as directories (GCS FUSE, Mountpoint for Amazon S3) \
         cannot, so use a file system: NFS, CephFS, Filestore, EFS, Azure Files"
    )]
    NoRename {
        /// A file or a directory.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Two pods could have one image directory.
    #[error("the volume {0}, so that two pods could go on from one checkpoint; use another kind of volume")]
    NotExclusive(&'static str),
}

/// What a volume keeps. None of it is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keeps {
    /// The modes that are set.
    pub modes: bool,
    /// The owners that are set.
    pub owners: bool,
    /// Several names for one file.
    pub links: bool,
    /// Locks of files.
    pub locks: bool,
    /// No file that is open, where its directory was renamed or its name removed: ESTALE (errno(3)).
    pub takes_open_files: bool,
}

/// A directory in which a volume is tried, which is removed when this is dropped. One that is left, by a pod that died, is removed
/// by whoever takes the image directory next.
#[derive(Debug)]
pub struct Probe(PathBuf);

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = remove_tree(&self.0);
    }
}

impl Probe {
    /// In an image directory, whoever holds it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(dir: &ImageDir) -> Result<Self, Lack> {
        let unwritable = unwritable("cannot make a directory");
        let unique = fs::read_to_string(limits::RANDOM_UUID).map_err(&unwritable)?;
        let path = dir.path_of(&holders()).join(format!("{PROBE}{}", unique.trim()));
        DirBuilder::new().mode(0o700).create(&path).map_err(unwritable)?;
        Ok(Self(path))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Tries everything. A few dozen operations, so about as many round trips.
    ///
    /// # Errors
    /// The first thing that it cannot do and crik needs.
    pub fn run(&self) -> Result<Keeps, Lack> {
        match self.try_all() {
            // Who has taken the image directory meanwhile has removed it.
            Err(_) if !self.0.exists() => Ok(Keeps::default()),
            tried => tried,
        }
    }

    fn try_all(&self) -> Result<Keeps, Lack> {
        let file = self.file()?;
        self.renames_files(&file)?;
        let directory = self.renames_directories()?;
        sync_names(&directory).map_err(Lack::NotDurable)?;
        Ok(self.keeps(&directory.join(FILE)).unwrap_or_default())
    }

    fn file(&self) -> Result<PathBuf, Lack> {
        let path = self.0.join(FILE);
        let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = create().map_err(unwritable("cannot make a file"))?;
        file.write_all(b"one").map_err(unwritable("cannot write a file"))?;
        file.sync_all().map_err(Lack::NotDurable)?;
        match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(path),
            Err(error) => Err(unwritable("cannot make a file")(error)),
            Ok(_) => Err(Lack::NotExclusive("makes a file that is there already (O_EXCL)")),
        }
    }

    fn renames_files(&self, file: &Path) -> Result<(), Lack> {
        let other = self.0.join("other");
        let failed = no_rename("a file onto another one");
        fs::write(&other, "two").map_err(unwritable("cannot write a file"))?;
        fs::rename(&other, file).map_err(&failed)?;
        let found = fs::read_to_string(file).map_err(&failed)?;
        if found == "two" {
            Ok(())
        } else {
            Err(failed(io::Error::other("the old contents are still there")))
        }
    }

    /// Returns the directory, with the file in it, under the name that it has then.
    fn renames_directories(&self) -> Result<PathBuf, Lack> {
        let [first, second, moved] = ["first", "second", "moved"].map(|name| self.0.join(name));
        let failed = no_rename("a directory with something in it");
        for directory in [&first, &second] {
            DirBuilder::new().mode(0o700).create(directory).map_err(unwritable("cannot make a directory"))?;
        }
        fs::rename(self.0.join(FILE), first.join(FILE)).map_err(&failed)?;
        fs::write(second.join(FILE), "two").map_err(unwritable("cannot write a file"))?;
        fs::rename(&first, &moved).map_err(&failed)?;
        match fs::rename(&second, &moved) {
            Err(_) if moved.join(FILE).exists() => Ok(moved),
            Err(error) => Err(failed(error)),
            Ok(()) => Err(Lack::NotExclusive("renames a directory onto one that has something in it")),
        }
    }

    fn keeps(&self, file: &Path) -> io::Result<Keeps> {
        let open = File::options().read(true).write(true).open(file)?;
        let mode = |wanted| {
            fs::set_permissions(file, Permissions::from_mode(wanted)).is_ok()
                && file.metadata().is_ok_and(|meta| meta.mode() & 0o777 == wanted)
        };
        let modes = mode(0o640) && mode(0o600);
        let wanted = file.metadata()?.uid() + 1;
        let owners =
            chown(file, Some(wanted), None).is_ok() && file.metadata().is_ok_and(|meta| meta.uid() == wanted);
        let link = self.0.join("link");
        // What has another name is not removed with the one below.
        let links = fs::hard_link(file, &link).is_ok() && fs::remove_file(&link).is_ok();
        let locks = open.try_lock().is_ok() && open.unlock().is_ok();
        let again = self.0.join("again");
        let is_stale = || {
            let used = (&open).write_all(b"x").and_then(|()| open.sync_all());
            used.is_err_and(|error| error.raw_os_error() == Some(libc::ESTALE))
        };
        fs::rename(file.parent().unwrap_or(file), &again)?;
        let stale_when_moved = is_stale();
        fs::remove_file(again.join(FILE))?;
        let takes_open_files = stale_when_moved || is_stale();
        Ok(Keeps { modes, owners, links, locks, takes_open_files })
    }
}

const FILE: &str = "file";

fn unwritable(what: &'static str) -> impl Fn(io::Error) -> Lack {
    move |source| Lack::Unwritable { what, source }
}

/// A volume that only fails for a while is not one that cannot.
fn no_rename(what: &'static str) -> impl Fn(io::Error) -> Lack {
    move |source| match source.outlook() {
        Outlook::Lasting => Lack::NoRename { what, source },
        _ => unwritable("cannot rename")(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_can_and_keeps_everything_and_nothing_is_left_behind() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        let probe = Probe::begin(&dir).unwrap();
        let all = Keeps { modes: true, owners: true, links: true, locks: true, takes_open_files: false };
        assert_eq!(probe.run().unwrap(), all);
        drop(probe);
        assert_eq!(fs::read_dir(dir.path_of(&holders())).unwrap().count(), 0);
    }
}
