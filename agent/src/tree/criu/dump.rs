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
    /// With `link-remap`, since CRIU carries a file of the container's layer that was removed only where it has tried to link it
    /// (criu/files-reg.c, `check_overlayfs_fallback`). Others that have lost their name have one while it works.
    fn options(self) -> [&'static str; 3] {
        let leave = match self {
            Self::Stopped => "leave-stopped",
            Self::Running => "leave-running",
        };
        [leave, "link-remap", COMPARE_CPU]
    }
}

/// Dumps the tree of `root` into the directory `images`. At CRIU's pauses the hook is called, whose errors are ignored: the
/// library would no longer wait for CRIU to let the tree go. Blocks.
///
/// # Errors
/// CRIU refused; the tree then runs as before.
pub fn dump(root: i32, images: &Path, leave: Leave, mut hook: Hook) -> Result<(), CriuError> {
    let call = Call::begin(TimeNamespace::of_tree(root), &leave.options())?;
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
