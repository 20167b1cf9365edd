//! A fresh start: the application under its init.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crik_store::generation::clock_facts::Installed;
use thiserror::Error;

use crate::base::{exit_codes, limits};
use crate::carry::clocks::install::{PRELOAD, preload};
use crate::carry::{reserved_pids, streams};
use crate::config::Config;
use crate::supervise::environment;
use crate::tree::process::ipc_namespace;
use crate::tree::process::which::{self, NotRunnable};

/// Why the application could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// The command cannot be run.
    #[error(transparent)]
    Command(#[from] NotRunnable),
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
            Self::Command(NotRunnable::NotFound(_)) => exit_codes::NOT_FOUND,
            Self::Command(NotRunnable::NotExecutable { .. }) => exit_codes::NOT_EXECUTABLE,
            Self::Pids(_) | Self::Init { .. } => exit_codes::FAILURE,
        }
    }
}

/// Starts `command` as the only child of `init`, with all of the tree's ids above the reserved ones, the library of its
/// clocks, and `GODEBUG` if there is something to say in it; in an IPC namespace of its own if `own_ipc`. Returns the init's id.
///
/// # Errors
/// The command is not there or cannot run, or no process can be made.
pub fn spawn(
    init: &Path,
    command: &[OsString],
    library: Option<&Installed>,
    godebug: Option<OsString>,
    own_ipc: bool,
) -> Result<i32, SpawnError> {
    let name = command.first().ok_or_else(|| NotRunnable::NotFound(OsString::new()))?;
    let program = which::resolve(name)?;
    reserved_pids::pass_reserved().map_err(SpawnError::Pids)?;
    let preload = library.map(|library| (PRELOAD, preload(library, env::var_os(PRELOAD).as_deref())));
    let mut init_command = Command::new(init);
    init_command
        .arg(program)
        .args(command)
        .env_remove(limits::CRIU_CONFIG_VARIABLE)
        .envs(preload)
        .envs(godebug.map(|settings| (environment::GODEBUG, settings)))
        .stdin(streams::for_application(0))
        .stdout(streams::for_application(1))
        .stderr(streams::for_application(2));
    let child =
        if own_ipc { ipc_namespace::in_new(|| init_command.spawn()).flatten() } else { init_command.spawn() };
    let child = child.map_err(|source| SpawnError::Init { path: init.into(), source })?;
    Ok(child.id().cast_signed())
}

/// Whether the program is to have an IPC namespace of its own, with which CRIU can dump what it has of System V: where one can be made,
/// and where there will be a checkpoint.
#[must_use]
pub fn own_ipc(config: &Config) -> bool {
    config.image_dir.is_some() && config.own_ipc_namespace && ipc_namespace::is_possible()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn each_refusal_has_the_exit_code_of_a_shell() {
        for (name, code) in [("no-such-command", 127), ("/no/such", 127), ("/etc/passwd", 126), ("/tmp", 126)]
        {
            assert_eq!(
                SpawnError::from(which::resolve(OsStr::new(name)).unwrap_err()).exit_code(),
                code,
                "{name}"
            );
        }
    }
}
