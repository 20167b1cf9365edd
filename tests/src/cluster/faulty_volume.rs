//! A volume of the cluster that is as slow as a test wants it. A node sees no mount that is made after its boot, so it is carried in.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use tempfile::TempDir;

use super::Cluster;
use crate::faulty::{Faults, Faulty};

/// The directory of a volume, by way of a file system that fails on demand, on all nodes; pods that begin meanwhile see it so. What it was
/// shows again when this is dropped.
pub struct FaultyVolume {
    cluster: Arc<Cluster>,
    path: PathBuf,
    faults: Arc<Faults>,
    /// What serves it, and where it is seen on this machine.
    served: Option<(Faulty, TempDir)>,
}

impl FaultyVolume {
    /// Puts one over the volume of this directory.
    ///
    /// # Errors
    /// There is no FUSE here, or a node is down.
    pub fn over(cluster: &Arc<Cluster>, path: PathBuf) -> Result<Self> {
        let here = TempDir::new()?;
        let faulty = Faulty::mount_wide(&path, here.path())?;
        let (cluster, faults) = (Arc::clone(cluster), Arc::clone(&faulty.faults));
        let copies: Vec<OwnedFd> =
            cluster.nodes().iter().map(|_| copy_of(here.path())).collect::<Result<_>>()?;
        let volume = Self { cluster, path, faults, served: Some((faulty, here)) };
        for (node, mount) in volume.cluster.nodes().iter().zip(copies) {
            node.among_mounts(|| put(&mount, &volume.path))?;
        }
        Ok(volume)
    }

    /// What fails.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for FaultyVolume {
    fn drop(&mut self) {
        self.faults.clear();
        for node in self.cluster.nodes() {
            let mut umount = Command::new("umount");
            umount.arg("--lazy").arg(&self.path);
            // A node that is down has none.
            let _ = node.run(umount);
        }
        // Served until the last pod is gone that has it, which may be after this.
        let served = self.served.take();
        thread::spawn(move || drop(served));
    }
}

/// A copy of a mount that is nowhere yet (open_tree(2)).
fn copy_of(mountpoint: &Path) -> Result<OwnedFd> {
    let path = CString::new(mountpoint.as_os_str().as_bytes())?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: open_tree(2) takes a path and returns a descriptor that nobody else has.
    let copy = unsafe {
        let fd = libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags);
        OwnedFd::from_raw_fd(Errno::result(i32::try_from(fd)?).context("open_tree")?)
    };
    Ok(copy)
}

/// Puts a mount that is nowhere yet over a directory (move_mount(2)).
fn put(mount: &OwnedFd, over: &Path) -> io::Result<()> {
    let place = File::open(over)?;
    let (from, to, empty) = (mount.as_raw_fd(), place.as_raw_fd(), c"".as_ptr());
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: move_mount(2) takes two descriptors, which are open, and two paths.
    Errno::result(unsafe { libc::syscall(libc::SYS_move_mount, from, empty, to, empty, flags) })?;
    Ok(())
}
