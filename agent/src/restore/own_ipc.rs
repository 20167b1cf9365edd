//! The IPC namespace of a tree that is restored: what it has of System V comes with one, which CRIU makes again, and where that is not
//! possible nothing is tried.

use std::io;
use std::path::Path;
use std::ptr;

use anyhow::{Result, bail};
use crik_store::generation::manifest::Manifest;
use nix::errno::Errno;

use crate::config::Config;
use crate::tree::criu::images::{self, ImageError};
use crate::tree::criu::{IPC_IMAGE, IpcNamespace, SHARED_MEMORY_IMAGE};
use crate::tree::process::ipc_namespace;

/// Whether what a generation has of System V can be made here.
///
/// # Errors
/// It cannot: the generation is to be left.
pub fn check(manifest: &Manifest) -> Result<()> {
    if is_dumped(manifest) && !ipc_namespace::is_possible() {
        bail!(
            "the program has shared memory, semaphores or message queues of System V, which go on in an IPC namespace of its own, and none \
             can be made here; give the pod hostUsers: false and the capability SYS_ADMIN, as the one before had, and let crik run as root"
        );
    }
    Ok(())
}

/// In which CRIU restores it.
pub fn namespace(manifest: &Manifest, config: &Config) -> IpcNamespace {
    if !is_dumped(manifest) && config.own_ipc_namespace && ipc_namespace::is_possible() {
        IpcNamespace::New
    } else {
        IpcNamespace::Own
    }
}

/// The ids of the shared memory that had been removed and goes with the last who has it mapped.
///
/// # Errors
/// The image that tells is damaged.
pub fn removed(images: &Path, manifest: &Manifest) -> Result<Vec<i32>, ImageError> {
    let image = image(manifest, SHARED_MEMORY_IMAGE);
    image.map_or_else(|| Ok(Vec::new()), |name| images::removed_memory(images, name))
}

/// Removes it again, when all who had it mapped have it again. CRIU makes it anew as if it had not been removed (criu/ipc_ns.c,
/// `prepare_ipc_shm_seg`).
///
/// # Errors
/// It is not there.
pub fn remove_again(ids: &[i32], root: i32) -> io::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    // SAFETY: this takes nothing else.
    let remove = |id: &i32| unsafe { libc::shmctl(*id, libc::IPC_RMID, ptr::null_mut()) };
    let remove = |id| Errno::result(remove(id)).map(drop);
    Ok(ipc_namespace::in_that_of(root, || ids.iter().try_for_each(remove))??)
}

fn is_dumped(manifest: &Manifest) -> bool {
    image(manifest, IPC_IMAGE).is_some()
}

/// The name of the image that begins so.
fn image<'a>(manifest: &'a Manifest, start: &str) -> Option<&'a str> {
    manifest.images().find(|name| name.starts_with(start))
}
