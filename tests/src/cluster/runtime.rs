//! What `tests/tools/runtime/go.mod` pins: containerd, its shim and its client, runc, the sandbox's program, and CoreDNS.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

use crate::build::workspace;
use crate::harness::cache::CACHE;

/// The directory that they are in; they are built first if they have to.
///
/// # Errors
/// They cannot be built.
pub fn runtime() -> Result<PathBuf> {
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(directory) = &*found {
        return Ok(directory.clone());
    }
    let script = workspace().join("tests/tools/runtime/build.sh");
    let output = Command::new(&script).arg(CACHE).output().with_context(|| script.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot build the nodes' programs: {}", said.trim());
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    *found = Some(directory.clone());
    Ok(directory)
}
