//! This program started once more, to become CRIU: what must be so in CRIU's own process and not in the agent's is done in between.
//!
//! rust-criu starts a program, with the agent's environment. Only a process with a single thread may change its time namespace
//! (time_namespaces(7)), what CRIU is preloaded with and where it keeps what it knows is nobody else's business, and what the agent may do
//! by its own file only it can hand on.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rust_criu::Criu;

use super::in_namespace::{NAMESPACE_FD, Namespaces};
use super::preload;
use super::{action_script, feature_cache};
use crate::base::exit_codes;
use crate::tree::process::rights;

/// What it is called.
const PROGRAM: &str = "criu";

/// What rust-criu says to a CRIU that it starts.
const SERVE: &str = "swrk";

/// What a CRIU is told that is only asked what the kernel has (criu(8)).
pub(super) const CHECK: &str = "check";

/// What a CRIU is told that restores by a command line.
pub(super) const RESTORE: &str = "restore";

/// CRIU by way of this program.
///
/// # Errors
/// A socket cannot be made.
pub(super) fn by_way_of_us() -> Result<Criu, rust_criu::CriuError> {
    Criu::new_with_criu_path("/proc/self/exe".to_owned())
}

/// CRIU's program: that which came with this one, or else the one of `PATH`.
fn program() -> PathBuf {
    let ours = env::current_exe().map(|own| beside(&own)).ok().filter(|ours| ours.is_file());
    ours.unwrap_or_else(|| PROGRAM.into())
}

/// Where CRIU is that came with this crik.
#[must_use]
pub fn beside(crik: &Path) -> PathBuf {
    crik.with_file_name(PROGRAM)
}

/// Becomes CRIU, or plays its action script, if that is what this program was started for. Returns an exit code if it is none.
#[must_use]
pub fn become_criu() -> Option<i32> {
    if let Some(code) = action_script::play() {
        return Some(code);
    }
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    arguments.first().filter(|first| [SERVE, CHECK, RESTORE].iter().any(|word| *first == word))?;
    let namespaces = Namespaces::parse(&fs::read_to_string(format!("/proc/self/fd/{NAMESPACE_FD}")).ok()?)?;
    let library = preload::handed_down().map(|path| (preload::VARIABLE, path));
    let failed = match namespaces.enter().and_then(|()| rights::hand_on()) {
        Ok(()) => {
            let mut criu = Command::new(program());
            criu.args(arguments).envs(library);
            feature_cache::hand_on(&mut criu);
            criu.exec()
        }
        Err(error) => error,
    };
    eprintln!("crik: cannot start criu: {failed}");
    Some(exit_codes::FAILURE)
}
