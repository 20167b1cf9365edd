//! Asks CRIU for a dump.

use std::path::Path;

use super::call::{COMPARE_CPU, Call, inheritable_directory, present_mounts};
use super::error::CriuError;
use super::failable_dump::Failable;
use super::in_namespace::TimeNamespace;
use super::pause::{Hook, hooked, notified};
use crate::base::panics::contained_now;

/// What becomes of the tree after a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It stays stopped.
    Stopped,
    /// It goes on.
    Running,
}

impl Leave {
    fn options(self) -> &'static [&'static str] {
        match self {
            // Files that have lost their name but not their last link get a name for as long as the image is there.
            Self::Stopped => &["leave-stopped", "link-remap", COMPARE_CPU],
            // CRIU removes these names again when it lets the tree go on (criu/cr-dump.c), so the image could not be
            // restored. Without the option such a file is refused.
            Self::Running => &["leave-running", COMPARE_CPU],
        }
    }
}

/// Dumps the tree of `root` into the directory `images`. At CRIU's pauses the hook is called, whose errors are ignored: the
/// library would no longer wait for CRIU to let the tree go. Blocks.
///
/// # Errors
/// CRIU refused; the tree then runs as before.
pub fn dump(root: i32, images: &Path, leave: Leave, mut hook: Hook) -> Result<(), CriuError> {
    let call = Call::begin(TimeNamespace::of_tree(root), leave.options())?;
    let _failable =
        Failable::begin().map_err(|source| CriuError::Prepare { what: "ignore SIGXFSZ", source })?;
    let directory = inheritable_directory(images)?;
    let mut criu = call.request(&directory)?;
    criu.set_pid(root);
    criu.set_notify_scripts(true);
    criu.set_notify_cb(notified);
    for (name, path) in present_mounts() {
        criu.add_external(format!("mnt[{path}]:{name}"));
    }
    let ignoring = Box::new(move |pause| {
        let _ = contained_now(|| hook(pause));
        Ok(())
    });
    hooked(ignoring, || criu.dump()).map_err(|error| call.refused(&error))
}
