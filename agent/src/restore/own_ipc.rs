//! The IPC namespace of a tree that is restored: what it has of System V comes with one, which CRIU makes again, and where that is not
//! possible nothing is tried.

use anyhow::{Result, bail};

use crate::config::Config;
use crate::store::generation::manifest::Manifest;
use crate::store::image_dir::layout;
use crate::tree::criu::{IPC_IMAGE, IpcNamespace};
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

fn is_dumped(manifest: &Manifest) -> bool {
    let start = format!("{}/{IPC_IMAGE}", layout::IMAGES);
    manifest.files.keys().any(|name| name.starts_with(&start))
}
