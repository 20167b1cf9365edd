//! Finds a command as execvp(3) does.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, io};

use nix::unistd::{AccessFlags, access};
use thiserror::Error;

/// Why a command cannot be run.
#[derive(Debug, Error)]
pub enum NotRunnable {
    /// There is no such command.
    #[error("command not found: {0:?}; check the pod's command and the container's PATH")]
    NotFound(OsString),
    /// There is, but it cannot be executed.
    #[error("cannot execute {path}: {source}")]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Finds a command as execvp(3) does: with a slash it is a path, without one `PATH` is searched, and a file that cannot
/// be executed is passed over for a later one that can.
///
/// # Errors
/// There is none.
pub fn resolve(name: &OsStr) -> Result<PathBuf, NotRunnable> {
    let paths = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/bin:/usr/bin".into());
    let candidates: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        vec![name.into()]
    } else {
        env::split_paths(&paths).map(|directory| directory.join(name)).collect()
    };
    let mut refused = None;
    for path in candidates.into_iter().filter(|path| path.exists()) {
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(source) => refused = refused.or(Some(NotRunnable::NotExecutable { path, source })),
        }
    }
    Err(refused.unwrap_or_else(|| NotRunnable::NotFound(name.into())))
}

fn executable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    Ok(access(path, AccessFlags::X_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        assert!(resolve(OsStr::new("sh")).unwrap().is_absolute());
        assert_eq!(resolve(OsStr::new("/bin/sh")).unwrap(), Path::new("/bin/sh"));
    }
}
