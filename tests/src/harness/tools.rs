//! The programs of a Kubernetes cluster, as `tests/tools/go.mod` pins them: found where they were built before, or built.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::{Context as _, Result, ensure};

use crate::build::workspace;
use crate::rootfs::CACHE;

/// Where a program is: `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubelet`, `kube-proxy`, `kubectl`,
/// `helm` or `etcd`. In `KUBEBUILDER_ASSETS` if that is set, as envtest does.
///
/// # Errors
/// The programs cannot be built, or this one is not among them.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(path.is_file(), "{} is missing; see KUBEBUILDER_ASSETS and tests/tools/build.sh", path.display());
    Ok(path)
}

/// The directory that they are in; asked for once in each test program, since the script takes some 10 ms.
fn directory() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if found.is_none() {
        *found = Some(build()?);
    }
    found.clone().context("no directory")
}

fn build() -> Result<PathBuf> {
    let output = Command::new(workspace().join("tests/tools/build.sh"))
        .arg(CACHE)
        .stdin(Stdio::null())
        .output()
        .context("cannot run tests/tools/build.sh")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot build the programs of a cluster: {}", said.trim());
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
