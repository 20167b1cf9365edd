//! Asks CRIU for a restore.

use std::io;
use std::os::fd::AsRawFd;

use super::call::{COMPARE_CPU, Call, inheritable_directory, present_mounts};
use super::error::CriuError;
use super::let_go::LetGo;
use super::pause::{Hook, hooked, notified};
use super::restore_request::Restore;
use super::{preload, streamed_restore};

/// Restores a tree whose root becomes a child of this process. Blocks. Whatever becomes of a CRIU that has let all of it go: the tree
/// runs.
///
/// # Errors
/// CRIU refused, or the hook did, or the pages were not there.
pub fn restore(what: &Restore<'_>, hook: Hook) -> Result<(), CriuError> {
    // Generations of earlier releases do not say what CPU they are of.
    let missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let old = what.images.join(CPU_IMAGE).symlink_metadata().is_err_and(missing);
    let options: Vec<&str> =
        (!old).then_some(COMPARE_CPU).into_iter().chain([what.connections.option()]).collect();
    let call = Call::begin(what.namespaces, &options, what.headway)?.preloaded(preload::RESTORE_LIBRARY)?;
    let let_go = LetGo::new(hook);
    let outcome = match &what.pages {
        Some(source) => streamed_restore::restore(what, source, &call, let_go.hook()),
        None => from_directory(what, &call, let_go.hook()),
    };
    outcome.or_else(|error| let_go.instead_of(error))
}

fn from_directory(what: &Restore<'_>, call: &Call, hook: Hook) -> Result<(), CriuError> {
    let (directory, work) = (inheritable_directory(what.images)?, inheritable_directory(what.work)?);
    let mut criu = call.request(&directory)?;
    criu.set_work_dir_fd(work.as_raw_fd());
    criu.set_rst_sibling(true);
    criu.set_notify_scripts(true);
    criu.set_notify_cb(notified);
    for (name, path) in present_mounts() {
        criu.add_external(format!("mnt[{name}]:{path}"));
    }
    for (fd, key) in what.inherited {
        criu.add_inherit_fd(*fd, key.clone())
            .map_err(|error| CriuError::Refused { first: error.to_string() })?;
    }
    hooked(hook, || criu.restore()).map_err(|error| call.refused(&error))
}

/// The image that `COMPARE_CPU` writes.
const CPU_IMAGE: &str = "cpuinfo.img";
