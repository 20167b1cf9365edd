//! The root file system of the pods: built once, kept outside the tree, named by what it is made from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Built by this script.
const SCRIPT: &str = include_str!("../../rootfs.sh");

/// Where slow things are kept between runs.
pub(crate) const CACHE: &str = "/var/cache/crik-tests";

/// The root file system, built if it is not there yet.
///
/// # Errors
/// It cannot be built; the message has the script's last words.
pub fn rootfs() -> Result<PathBuf> {
    let root = Path::new(CACHE).join(format!("rootfs-{:016x}", fingerprint(SCRIPT)));
    fs::create_dir_all(CACHE)?;
    let lock = File::create(Path::new(CACHE).join("lock"))?;
    lock.lock()?;
    if !root.exists() {
        build(&root).context("cannot build the pods' root file system")?;
    }
    Ok(root)
}

/// Under another name first, so that one that was interrupted is not taken for a whole one.
fn build(root: &Path) -> Result<()> {
    let partial = root.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    let log_path = root.with_extension("log");
    let log = File::create(&log_path)?;
    let status = Command::new("sh")
        .args(["-c", SCRIPT, "rootfs.sh"])
        .arg(&partial)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    let said = fs::read_to_string(&log_path).unwrap_or_default();
    let last: Vec<&str> = said.lines().rev().take(8).collect();
    ensure!(status.success(), "{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    Ok(fs::rename(&partial, root)?)
}

/// FNV-1a: only to tell one script from another.
fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
