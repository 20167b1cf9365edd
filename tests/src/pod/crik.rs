//! `crik` as a person runs it, on any machine that sees the volume.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::build::cargo_bin;
use crate::volume::Volume;

/// What a command printed.
pub struct Told {
    /// Its exit code.
    pub code: Option<i32>,
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

/// Runs `crik` on this machine, on the image directory `job-0`.
///
/// # Errors
/// It cannot be built or run.
pub fn crik(volume: &Volume, args: &[&str]) -> Result<Told> {
    crik_of(volume, "job-0", args)
}

/// The same on another image directory of the volume.
///
/// # Errors
/// As of [`crik`].
pub fn crik_of(volume: &Volume, image_dir: &str, args: &[&str]) -> Result<Told> {
    let output = Command::new(cargo_bin("crik-agent", "crik", &[])?)
        .args(args)
        .arg("--image-dir")
        .arg(volume.path().join(image_dir))
        .output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Told { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

/// The same for a program: what it printed as JSON.
///
/// # Errors
/// It printed something else.
pub fn json(volume: &Volume, args: &[&str]) -> Result<Value> {
    let told = crik(volume, &[args, &["--output", "json"]].concat())?;
    serde_json::from_str(&told.out).with_context(|| format!("{}{}", told.out, told.err))
}
