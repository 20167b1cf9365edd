//! Tells what an agent that was killed has left behind from what another one still uses, in places that containers of a pod share:
//! who made it has it locked (flock(2)) for as long as it lives, in whatever PID namespace, and the kernel ends a lock with its owner.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crik_store::backend::durable::ignore_missing;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

use crate::base::limits;
use crate::base::panics::locked;

/// What this agent has made, by its path.
static HELD: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

/// Keeps the lock of what was made at `path` until [`let_go`].
pub fn hold(path: &Path, file: File) {
    locked(&HELD).insert(path.to_owned(), file);
}

/// Gives up the lock of what was at `path`.
pub fn let_go(path: &Path) {
    locked(&HELD).remove(path);
}

/// Makes a file that is locked before anybody can see it, in place of what is at `path`.
///
/// # Errors
/// The file system cannot be written.
pub fn create(path: &Path) -> io::Result<File> {
    ignore_missing(fs::remove_file(path))?;
    let without_name = || {
        let flags = libc::O_TMPFILE;
        let file = OpenOptions::new()
            .write(true)
            .mode(0o600)
            .custom_flags(flags)
            .open(path.parent().unwrap_or(path))?;
        file.try_lock().map_err(io::Error::from)?;
        let unnamed = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        linkat(AT_FDCWD, &unnamed, AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
        Ok(file)
    };
    // Not every file system can (open(2), O_TMPFILE).
    without_name().or_else(|_: io::Error| {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(file)
    })
}

/// Locks a directory that was just made. None if somebody has taken it for a left-over meanwhile.
///
/// # Errors
/// It cannot be opened.
pub fn lock_directory(path: &Path) -> io::Result<Option<File>> {
    let Ok(directory) = File::open(path) else { return Ok(None) };
    Ok((directory.try_lock().is_ok() && is_still_there(path, &directory)).then_some(directory))
}

/// Removes the pages of clocks of which the agent is gone. What cannot be removed does no harm.
pub fn sweep_clocks() {
    for directory in limits::CLOCK_PAGE_DIRECTORIES {
        for path in named(Path::new(directory), limits::CLOCK_FILE_NAME) {
            if abandoned(&path).is_some_and(|file| file.metadata().is_ok_and(|meta| meta.is_file()))
                && fs::remove_file(&path).is_ok()
            {
                tracing::debug!("{} was left behind and is removed", path.display());
            }
        }
    }
}

/// What is in a directory whose name begins so.
pub fn named(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let is_so = |name: &OsStr| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| is_so(&entry.file_name())).map(|entry| entry.path()).collect()
}

/// What is at `path`, locked, if nobody has it locked.
pub fn abandoned(path: &Path) -> Option<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    (file.try_lock().is_ok() && is_still_there(path, &file)).then_some(file)
}

fn is_still_there(path: &Path, file: &File) -> bool {
    let same = |one: fs::Metadata| {
        file.metadata().is_ok_and(|other| (one.dev(), one.ino()) == (other.dev(), other.ino()))
    };
    path.symlink_metadata().is_ok_and(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_no_left_over_and_what_is_not_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page");
        hold(&path, create(&path).unwrap());
        assert!(abandoned(&path).is_none());
        let_go(&path);
        assert!(abandoned(&path).is_some());
        let aside = dir.path().join("aside");
        fs::create_dir(&aside).unwrap();
        let lock = lock_directory(&aside).unwrap().unwrap();
        assert!(abandoned(&aside).is_none());
        drop(lock);
        assert!(abandoned(&aside).is_some());
        assert!(abandoned(&dir.path().join("nothing")).is_none());
    }

    #[test]
    fn a_file_takes_the_place_of_what_was_left_half_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.partial");
        fs::write(&path, "half").unwrap();
        let file = create(&path).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert!(is_still_there(&path, &file));
    }
}
