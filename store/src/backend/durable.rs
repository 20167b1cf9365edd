//! Writes that survive a loss of power.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::base::watchdog::moved;

/// Writes a file for its owner alone.
///
/// # Errors
/// The volume cannot be written.
pub fn create_private(path: &Path, contents: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    Ok(file)
}

/// Writes a file for its owner alone, and makes it durable, but not its name: for one that is renamed, or has a sibling that is made
/// afterwards. Each fsync(2) is a round trip at least.
///
/// # Errors
/// The volume cannot be written.
pub fn create_nameless(path: &Path, contents: &[u8]) -> io::Result<()> {
    moved();
    let file = create_private(path, contents)?;
    moved();
    file.sync_all()?;
    moved();
    Ok(())
}

/// The same, and makes its name durable, with those of all that is beside it.
///
/// # Errors
/// The volume cannot be written.
pub fn create_durably(path: &Path, contents: &[u8]) -> io::Result<()> {
    create_nameless(path, contents)?;
    sync_names(path.parent().unwrap_or(Path::new("/")))
}

/// sync_file_range(2) of a part of a file, by which its end does not take long. The fsync that follows is what counts, so a file system that
/// cannot do this need not. But a write that has failed is told once only, here or there.
///
/// # Errors
/// Something that was written before could not be.
pub fn sync_range(file: &File, offset: u64, bytes: u64, how: libc::c_uint) -> io::Result<()> {
    let (offset, bytes) = (offset.cast_signed(), bytes.cast_signed());
    // SAFETY: it takes a descriptor, which is open, and numbers.
    if unsafe { libc::sync_file_range(file.as_raw_fd(), offset, bytes, how) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS | libc::ESPIPE | libc::EOPNOTSUPP) => Ok(()),
        _ => Err(error),
    }
}

/// Makes a directory's entries durable (fsync(2): to sync a file does not sync its name). A file system that knows no fsync of
/// directories (fsync(2), EINVAL) keeps its names in a way of its own, and no program could do more.
///
/// # Errors
/// The volume cannot be written.
pub fn sync_names(path: &Path) -> io::Result<()> {
    let unknown = |error: &io::Error| {
        [libc::EINVAL, libc::EOPNOTSUPP, libc::ENOSYS]
            .iter()
            .any(|errno| error.raw_os_error() == Some(*errno))
    };
    match File::open(path)?.sync_all() {
        Err(error) if unknown(&error) => Ok(()),
        other => other,
    }
}

/// Removes what is there, with all below it if it is a directory; if nothing is there that is no error.
///
/// # Errors
/// The volume cannot be written.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    moved();
    let removed = path
        .symlink_metadata()
        .and_then(|meta| if meta.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    ignore_missing(removed)
}

/// Takes what is not there for removed.
///
/// # Errors
/// Any other than that.
pub fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
