//! Opens what lies below a directory on the volume, where somebody else may have put symbolic links and named pipes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;

use crate::base::watchdog::moved;

/// Neither follows a link nor waits for the other end of a pipe.
const WARY: OFlag = OFlag::O_RDONLY.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// Opens the regular file `name` below `root`. No part of `name` may be a symbolic link, nor may `root` itself be one, though
/// what leads to it may.
///
/// # Errors
/// It cannot be opened; `InvalidData` if it is no regular file.
pub fn file(root: &Path, name: &Path) -> io::Result<File> {
    moved();
    let (parent, last) = (name.parent().unwrap_or(Path::new("")), name.file_name());
    let last = last.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let file = File::from(openat(directory(root, parent)?, last, WARY, Mode::empty()).map_err(told)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// The contents of the regular file `name` below `root`, or the first `most` bytes of them: what others have written must not
/// exhaust the container's memory.
///
/// # Errors
/// As for [`file`], or it cannot be read.
pub fn read_at_most(root: &Path, name: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = file(root, name)?;
    moved();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens the directory `name` below `root` in the same way.
///
/// # Errors
/// It cannot be opened, or is no directory.
pub fn directory(root: &Path, name: &Path) -> io::Result<OwnedFd> {
    let flags = WARY | OFlag::O_DIRECTORY;
    let mut directory = openat(AT_FDCWD, root, flags, Mode::empty()).map_err(told)?;
    for part in name.components() {
        let Component::Normal(part) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        directory = openat(&directory, part, flags, Mode::empty()).map_err(told)?;
    }
    Ok(directory)
}

/// Opens the file at `path`, whose directory and name may not be links.
///
/// # Errors
/// As for [`file`].
pub fn open_file(path: &Path) -> io::Result<File> {
    file(path.parent().unwrap_or(Path::new("/")), Path::new(path.file_name().unwrap_or_default()))
}

/// ELOOP is what O_NOFOLLOW says of a link (open(2)), and ENOTDIR with O_DIRECTORY.
fn told(error: nix::Error) -> io::Error {
    if error == nix::Error::ELOOP { not_regular() } else { error.into() }
}

fn not_regular() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "it is a symbolic link or another thing that is no regular file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_that_are_really_there_are_opened() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("criu")).unwrap();
        fs::write(path("criu/a.img"), "a").unwrap();
        symlink("a.img", path("criu/link.img")).unwrap();
        symlink("criu", path("linked")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRUSR).unwrap();
        let open = |name: &str| file(root.path(), Path::new(name));
        assert!(open("criu/a.img").is_ok());
        for name in
            ["criu/link.img", "linked/a.img", "pipe", "criu", "../x", "/etc/passwd", "criu/../criu/a.img", ""]
        {
            assert!(open(name).is_err(), "{name}");
        }
        assert!(file(&path("linked"), Path::new("a.img")).is_err());
        assert_eq!(open("missing").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
