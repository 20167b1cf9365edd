//! What a kubelet makes for a pod in the pod's own directory on the node, and mounts into its containers.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::command::run;

/// A volume of a pod.
#[derive(Debug, Clone)]
pub enum PodVolume {
    /// A directory that is empty at first and lives as long as the pod.
    EmptyDir,
    /// The same in memory (`medium: Memory`).
    MemoryDir,
    /// Files by name, which are the same for every pod.
    ConfigMap(Vec<(String, String)>),
    /// The same in memory.
    Secret(Vec<(String, String)>),
}

impl PodVolume {
    /// Makes it for a pod, in the pod's directory.
    ///
    /// # Errors
    /// It cannot be written or mounted.
    pub fn make(&self, pod: &Path, name: &str) -> Result<Made> {
        let kind = match self {
            Self::EmptyDir | Self::MemoryDir => "empty-dir",
            Self::ConfigMap(_) => "configmap",
            Self::Secret(_) => "secret",
        };
        let dir = pod.join(format!("volumes/kubernetes.io~{kind}/{name}"));
        fs::create_dir_all(&dir)?;
        match self {
            Self::EmptyDir => {
                fs::set_permissions(&dir, Permissions::from_mode(0o777))?;
                Ok(Made { dir, in_memory: false })
            }
            Self::MemoryDir => Made::in_memory(dir, "mode=0777"),
            Self::ConfigMap(files) => write_dated(&dir, files).map(|()| Made { dir, in_memory: false }),
            Self::Secret(files) => {
                let made = Made::in_memory(dir, "mode=0755")?;
                write_dated(&made.dir, files).map(|()| made)
            }
        }
    }

    /// How containers get it.
    pub fn mode(&self) -> &'static str {
        if let Self::EmptyDir | Self::MemoryDir = self { "rw" } else { "ro" }
    }
}

/// A directory on the node, unmounted when this is dropped if it is in memory.
pub struct Made {
    /// Where.
    pub dir: PathBuf,
    in_memory: bool,
}

impl Made {
    /// A memory file system in a directory that is made for it.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn in_memory(dir: PathBuf, options: &str) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options))?;
        Ok(Self { dir, in_memory: true })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.in_memory {
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        }
    }
}

/// Gives a volume to a group, as the kubelet does where the pod has an `fsGroup` (pkg/volume/volume_linux.go).
///
/// # Errors
/// It cannot be changed.
pub fn give_to(group: u32, volume: &Path) -> Result<()> {
    let mode = volume.metadata()?.permissions().mode() & 0o7777;
    chown(volume, None, Some(group))?;
    Ok(fs::set_permissions(volume, Permissions::from_mode(mode | 0o2770))?)
}

impl PodVolume {
    /// Writes other contents into a volume that was made, as the kubelet does after its ConfigMap was changed: a new directory beside the
    /// old one, the link turned, the old one removed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn update(made: &Made, files: &[(String, String)]) -> Result<()> {
        let (link, next) = (made.dir.join("..data"), made.dir.join("..data_tmp"));
        let before = fs::read_link(&link)?;
        let dated = write_directory(&made.dir, files)?;
        symlink(dated, &next)?;
        fs::rename(next, link)?;
        Ok(fs::remove_dir_all(made.dir.join(before))?)
    }
}

/// As the kubelet's atomic writer lays files out (pkg/volume/util/atomic_writer.go): in a directory that has the time in its
/// name, to which `..data` leads, to which the names lead. No two pods have the same.
fn write_dated(dir: &Path, files: &[(String, String)]) -> Result<()> {
    symlink(write_directory(dir, files)?, dir.join("..data"))?;
    for (name, _) in files {
        symlink(Path::new("..data").join(name), dir.join(name))?;
    }
    Ok(())
}

/// Returns its name.
fn write_directory(dir: &Path, files: &[(String, String)]) -> Result<String> {
    let dated = run("date", &["--utc", "+..%Y_%m_%d_%H_%M_%S.%N"])?;
    let dated = dated.trim();
    fs::create_dir(dir.join(dated))?;
    for (name, text) in files {
        fs::write(dir.join(dated).join(name), text)?;
    }
    Ok(dated.to_owned())
}
