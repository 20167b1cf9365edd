//! What runc makes a container from: a directory with a root file system and a specification.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::rootfs::Root;
use crate::tools::runc;

/// A directory with a container's root file system and specification.
pub(super) struct Bundle {
    pub(super) id: String,
    pub(super) dir: tempfile::TempDir,
}

impl Bundle {
    /// The root file system is a fresh layer over the common one and the `layers` above that, as a container runtime makes it.
    pub(super) fn new(root: &Root, layers: &[PathBuf]) -> Result<Self> {
        let lower: Vec<PathBuf> = layers.iter().rev().cloned().chain([root.path()?]).collect();
        let dir = tempfile::Builder::new().prefix("crik-pod-").tempdir_in("/var/tmp")?;
        // A number of a process is used again, and one that was killed has left its containers.
        let id = dir.path().file_name().map(|name| name.to_string_lossy().into_owned());
        let bundle = Self { id: id.context("a directory without a name")?, dir };
        for name in ["root", "upper", "work"] {
            fs::create_dir(bundle.path(name))?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":"),
            bundle.path("upper").display(),
            bundle.path("work").display()
        );
        mount(
            Some("overlay"),
            &bundle.path("root"),
            Some("overlay"),
            MsFlags::empty(),
            Some(layers.as_str()),
        )
        .context("cannot mount an overlay")?;
        Ok(bundle)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = runc(&["delete", "--force", &self.id]).and_then(|mut runc| Ok(runc.output()?));
        let _ = umount2(&self.path("root"), MntFlags::MNT_DETACH);
    }
}
