//! Puts the init's program where the tree can map it, now and after every restore.
//!
//! CRIU restores a mapping only from an identical file at the same path, and a later release of `crik` may carry
//! another init. So the file's name is made from its contents, a generation carries a copy, and a restore puts that
//! copy back; the agent's own program is never part of a tree.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;
use thiserror::Error;

use crate::base::limits;
use crate::base::replace_file::replace_file;

/// The program, built from `init/init.rs`.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Nowhere can the init be put.
#[derive(Debug, Error)]
#[error(
    "no directory can hold a small program of crik's: {tried}; make one of them writable and executable (an emptyDir \
     on /run/crik will do)"
)]
pub struct NoPlace {
    tried: String,
}

/// Writes the program into the first directory that can be written and executed from, unless it is there already.
/// Returns its path.
///
/// # Errors
/// No directory can.
pub fn install(image_dir: Option<&Path>) -> Result<PathBuf, NoPlace> {
    let mut tried = Vec::new();
    let mut directories: Vec<&Path> = limits::INIT_DIRECTORIES.iter().map(Path::new).collect();
    // Only the last resort: who may rename in a directory may put another program under the name.
    directories.sort_by_key(|directory| others_may_rename(directory));
    for directory in directories.into_iter().chain(image_dir) {
        match install_in(directory) {
            Ok(path) => return Ok(path),
            Err(error) => tried.push(format!("{} ({error})", directory.display())),
        }
    }
    Err(NoPlace { tried: tried.join(", ") })
}

/// An emptyDir that a sidecar mounts too is one; `/tmp` with its sticky bit is none (inode(7)).
fn others_may_rename(directory: &Path) -> bool {
    let mode = directory.metadata().map_or(0, |meta| meta.mode());
    mode & (libc::S_IWGRP | libc::S_IWOTH) != 0 && mode & libc::S_ISVTX == 0
}

fn install_in(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join(format!("init-{}", &blake3::hash(PROGRAM).to_hex()[..16]));
    fs::create_dir_all(directory)?;
    if statvfs(directory)?.flags().contains(FsFlags::ST_NOEXEC) {
        return Err(io::Error::other("mounted noexec"));
    }
    if !is_installed(&path).unwrap_or(false) {
        // The mode is in the image, and CRIU compares it.
        replace_file(&path, PROGRAM, 0o755)?;
    }
    Ok(path)
}

/// Whether the program is there already, and nobody else can change it. One of somebody else's is replaced.
fn is_installed(path: &Path) -> io::Result<bool> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    let is_ours = meta.uid() == geteuid().as_raw() && meta.mode() & (libc::S_IWGRP | libc::S_IWOTH) == 0;
    if !meta.is_file() || !is_ours || meta.mode() & 0o111 != 0o111 {
        return Ok(false);
    }
    let mut found = Vec::new();
    file.read_to_end(&mut found)?;
    Ok(found == PROGRAM)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, hard_link, metadata, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    /// Installs it where `place` has put something under its name.
    fn installed(place: impl FnOnce(&Path)) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = install_in(directory.path()).unwrap();
        fs::remove_file(&path).unwrap();
        place(&path);
        assert_eq!(install_in(directory.path()).unwrap(), path);
        let meta = fs::symlink_metadata(&path).unwrap();
        assert!(meta.is_file() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o777 == 0o755);
        assert_eq!(fs::read(&path).unwrap(), PROGRAM);
        (directory, path)
    }

    #[test]
    fn what_somebody_else_has_put_under_its_name_is_never_run_nor_written_to() {
        let victim = tempfile::NamedTempFile::new().unwrap();
        write(&victim, "theirs").unwrap();
        installed(|path| symlink(&victim, path).unwrap());
        installed(|path| symlink(&victim, path.with_extension("partial")).unwrap());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
        installed(|path| {
            write(path, PROGRAM).unwrap();
            set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        });
        installed(|path| {
            write(path, PROGRAM).unwrap();
            set_permissions(path, Permissions::from_mode(0o755)).unwrap();
            chown(path, Some(7), None).unwrap();
        });
        installed(|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        let (directory, path) = installed(|_| {});
        let before = metadata(&path).unwrap().ino();
        hard_link(&path, directory.path().join("still-used")).unwrap();
        install_in(directory.path()).unwrap();
        assert_eq!(metadata(&path).unwrap().ino(), before);
    }

    #[test]
    fn a_directory_in_which_others_rename_is_the_last_resort() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, expected) in [(0o755, false), (0o1777, false), (0o777, true), (0o775, true)] {
            set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(others_may_rename(directory.path()), expected, "{mode:o}");
        }
    }
}
