//! A fresh start: the application under its init.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

use nix::unistd::{AccessFlags, access};
use thiserror::Error;

use crate::{criu, exit, pids, stdio};

/// Why the application could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
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
    /// The ids below 300 could not be used up.
    #[error(
        "cannot move the counter of process ids past the reserved ones: {0}; is the pod's pid limit too low?"
    )]
    Pids(io::Error),
    /// The init could not be started.
    #[error("cannot start {path}: {source}")]
    Init {
        /// The init's program.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl SpawnError {
    /// The exit code a shell would give.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotFound(_) => exit::NOT_FOUND,
            Self::NotExecutable { .. } => exit::NOT_EXECUTABLE,
            Self::Pids(_) | Self::Init { .. } => exit::FAILURE,
        }
    }
}

/// Starts `command` as the only child of `init`, with all of the tree's ids above the reserved ones. Returns the
/// init's id.
///
/// # Errors
/// The command is not there or cannot run, or no process can be made.
pub fn spawn(init: &Path, command: &[OsString]) -> Result<i32, SpawnError> {
    let name = command.first().ok_or_else(|| SpawnError::NotFound(OsString::new()))?;
    let program = resolve(name)?;
    pids::pass_reserved().map_err(SpawnError::Pids)?;
    let child = Command::new(init)
        .arg(program)
        .args(command)
        .env_remove(criu::CONFIG_VARIABLE)
        .stdin(stdio::for_application(0))
        .stdout(stdio::for_application(1))
        .stderr(stdio::for_application(2))
        .spawn()
        .map_err(|source| SpawnError::Init { path: init.into(), source })?;
    Ok(child.id().cast_signed())
}

/// Finds a command as execvp(3) does: with a slash it is a path, without one `PATH` is searched, and a file that cannot
/// be executed is passed over for a later one that can.
///
/// # Errors
/// There is none.
pub fn resolve(name: &OsStr) -> Result<PathBuf, SpawnError> {
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
            Err(source) => refused = refused.or(Some(SpawnError::NotExecutable { path, source })),
        }
    }
    Err(refused.unwrap_or_else(|| SpawnError::NotFound(name.into())))
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

    #[test]
    fn each_refusal_has_the_exit_code_of_a_shell() {
        for (name, code) in [("no-such-command", 127), ("/no/such", 127), ("/etc/passwd", 126), ("/tmp", 126)]
        {
            assert_eq!(resolve(OsStr::new(name)).unwrap_err().exit_code(), code, "{name}");
        }
    }
}
