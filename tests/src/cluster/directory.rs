//! The cluster's directory, which only one cluster has at a time; and what is left when one was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{bridge, cgroups, runtime::runtime};
use crate::tools::tool;
use crate::wait::wait_for;

/// Where a cluster keeps what it has.
pub const DIRECTORY: &str = "/var/tmp/crik-cluster";

/// The control groups that all nodes' are in.
pub const CGROUP: &str = "/crik-cluster";

/// In it stands where the control plane keeps what it has.
const CONTROL_PLANE: &str = "control-plane";

/// The file that names the directory of the cluster's control plane.
pub fn control_plane_file() -> PathBuf {
    Path::new(DIRECTORY).join(CONTROL_PLANE)
}

/// The directory, removed when this is dropped.
pub struct Directory {
    lock: File,
}

impl Directory {
    /// Makes it, and ends and removes what a cluster that was killed has left.
    ///
    /// # Errors
    /// Another cluster lives, or what is left cannot be removed.
    pub fn new() -> Result<Self> {
        let path = Path::new(DIRECTORY);
        let lock = File::create(path.with_extension("lock"))?;
        lock.try_lock()
            .with_context(|| format!("another cluster has {DIRECTORY}; make cluster-down ends it"))?;
        sweep()?;
        fs::create_dir_all(path.join("volumes"))?;
        Ok(Self { lock })
    }

    /// The lock, which is held as long as one of its copies is, also when the directory is gone.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn lock(&self) -> Result<File> {
        Ok(self.lock.try_clone()?)
    }

    /// Remembers where the control plane keeps what it has.
    ///
    /// # Errors
    /// The disk is full.
    pub fn remember(&self, control_plane: &Path) -> Result<()> {
        let text = control_plane.to_string_lossy();
        Ok(fs::write(control_plane_file(), text.as_bytes())?)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = remove() {
            eprintln!("something is left behind: {error:#}");
        }
    }
}

/// Ends and removes what a cluster that was killed has left.
///
/// # Errors
/// It does not go away.
fn sweep() -> Result<()> {
    if !Path::new(DIRECTORY).exists() {
        return Ok(());
    }
    let plane = fs::read_to_string(control_plane_file()).unwrap_or_default();
    let owned = [DIRECTORY, &plane].map(str::to_owned);
    let programs = [tool("kubelet")?, runtime()?.join("containerd")];
    let programs: Vec<PathBuf> =
        programs.iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
    wait_for("what a killed cluster has left to end", || {
        let left = processes(&programs, &owned);
        for pid in &left {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        left.is_empty().then_some(())
    })?;
    bridge::remove();
    if plane.starts_with("/tmp/crik-control-plane-") {
        let _ = fs::remove_dir_all(plane);
    }
    remove()
}

fn remove() -> Result<()> {
    cgroups::remove_all(CGROUP)?;
    fs::remove_dir_all(DIRECTORY).with_context(|| DIRECTORY.to_owned())
}

/// Processes whose program is in one of these directories and whose arguments name what is a cluster's own.
fn processes(programs: &[PathBuf], owned: &[String]) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_ours = |pid: &Pid| {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        programs.iter().any(|directory| exe.starts_with(directory))
            && owned.iter().any(|path| !path.is_empty() && arguments.contains(path.as_str()))
    };
    let pids = entries.filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)));
    pids.filter(is_ours).collect()
}
