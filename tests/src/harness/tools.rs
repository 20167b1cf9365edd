//! The programs of a Kubernetes cluster, as `tests/tools/go.mod` pins them, and runc: found where they were built before, or
//! built.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

use crate::build::workspace;
use crate::harness::cache::CACHE;

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

/// A command of a runc that knows time namespaces, with its first arguments.
///
/// # Errors
/// There is none on this machine, and it cannot be built.
pub fn runc(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(runc_path()?);
    command.args(args);
    Ok(command)
}

/// Where that runc is.
///
/// # Errors
/// As of [`runc`].
pub fn runc_path() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    found_by("tests/tools/runtime/runc.sh", &FOUND).context("no runc")
}

/// The program that makes requests from a description of an API.
///
/// # Errors
/// It is not there and cannot be installed.
pub fn schemathesis() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    let programs = found_by("tests/tools/schemathesis/install.sh", &FOUND).context("no schemathesis")?;
    Ok(programs.join("schemathesis"))
}

/// The Python that has an S3 server.
///
/// # Errors
/// It is not there and cannot be installed.
pub fn moto() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    Ok(found_by("tests/tools/moto/install.sh", &FOUND).context("no moto")?.join("python3"))
}

/// Where Azure's emulator of its Blob Storage is.
///
/// # Errors
/// It is not there and cannot be installed.
pub fn azurite() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    found_by("tests/tools/azurite/install.sh", &FOUND).context("no Azurite")
}

/// Where `prometheus` and `promtool` are.
///
/// # Errors
/// They are not there and cannot be had.
pub fn prometheus() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    found_by("tests/tools/prometheus/install.sh", &FOUND).context("no Prometheus")
}

/// Where a registry of images is.
///
/// # Errors
/// It is not there and cannot be built.
pub fn registry() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    found_by("tests/tools/registry/build.sh", &FOUND).context("no registry of images")
}

/// Where Kueue is: its program `manager` and its `chart`.
///
/// # Errors
/// It cannot be built.
pub fn kueue() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    found_by("tests/tools/kueue/build.sh", &FOUND).context("cannot build Kueue")
}

/// Where all of them are.
///
/// # Errors
/// They cannot be built.
pub fn directory() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    found_by("tests/tools/build.sh", &FOUND).context("cannot build the programs of a cluster")
}

/// What a script prints that builds something if it has to; asked for once in each test program, since it takes some 10 ms.
fn found_by(script: &str, found: &Mutex<Option<PathBuf>>) -> Result<PathBuf> {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*found {
        return Ok(path.clone());
    }
    let output = Command::new(workspace().join(script))
        .arg(CACHE)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {script}"))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(found.insert(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).clone())
}
