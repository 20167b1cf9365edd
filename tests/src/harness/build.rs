//! Builds the programs under test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, io};

use anyhow::{Context as _, Result, ensure};

use crate::command::run;
use crate::nfs::INSIDE;

/// Builds a binary of the workspace as it is released, and returns a copy that later builds do not touch. Once in each test
/// program: to find out that nothing has changed takes cargo as long as a container takes to start.
///
/// # Errors
/// It does not compile.
pub fn cargo_bin(package: &str, bin: &str, features: &[&str]) -> Result<PathBuf> {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let name = [&[package, bin], features].concat().join(" ");
    if let Some(path) = built.get(&name) {
        return Ok(path.clone());
    }
    // In a machine of its own a test has what was built for it.
    let path = if env::var_os(INSIDE).is_some() {
        copy_of(bin, features)?
    } else {
        build_and_copy(package, bin, features)?
    };
    built.insert(name, path.clone());
    Ok(path)
}

fn build_and_copy(package: &str, bin: &str, features: &[&str]) -> Result<PathBuf> {
    let lock = File::create(kept()?.join("lock"))?;
    // Builds with different features overwrite each other's output.
    lock.lock().context("cannot lock the target directory")?;
    build(package, features)?;
    let copy = copy_of(bin, features)?;
    copy_if_changed(&target_directory().join("release").join(bin), &copy)?;
    Ok(copy)
}

fn copy_of(bin: &str, features: &[&str]) -> Result<PathBuf> {
    let variant = if features.is_empty() { "default".to_owned() } else { features.join("-") };
    Ok(kept()?.join(format!("{bin}-{variant}")))
}

/// Cargo, in the workspace. What it tells a test of its own package is news to the build script of ring, which then builds all of TLS
/// anew.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let told = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        command.env_remove(name);
    }
    command.current_dir(workspace());
    command
}

fn build(package: &str, features: &[&str]) -> Result<()> {
    let output = cargo()
        .args(["build", "--release", "--quiet", "--locked", "-p", package, "--features", &features.join(",")])
        .output()?;
    ensure!(output.status.success(), "cannot build {package}:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A copy of a program with the capabilities that the agent's image gives to its file.
///
/// # Errors
/// The disk is full, or the file system keeps none.
pub fn with_capabilities(program: &Path) -> Result<PathBuf> {
    let copy = program.with_extension("with-capabilities");
    let lock = File::create(kept()?.join("lock"))?;
    lock.lock()?;
    copy_if_changed(program, &copy)?;
    // Said twice it changes nothing, since the file is the same.
    run("setcap", &[&capabilities_of_the_image()?, &copy.to_string_lossy()])?;
    Ok(copy)
}

/// What `setcap` is told where the image is made.
fn capabilities_of_the_image() -> Result<String> {
    let script = fs::read_to_string(workspace().join("deploy/bundle.sh"))?;
    let words = script.lines().find_map(|line| line.trim().strip_prefix("setcap "));
    let words = words.context("deploy/bundle.sh gives no capabilities")?;
    Ok(words.split(' ').next().unwrap_or_default().to_owned())
}

/// Where programs are put that no other build may touch.
///
/// # Errors
/// It cannot be made.
pub(super) fn kept() -> Result<PathBuf> {
    let kept = target_directory().join("crik-tests");
    fs::create_dir_all(&kept)?;
    Ok(kept)
}

/// The workspace's directory.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Where cargo builds.
pub fn target_directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// By rename, since a program that runs cannot be written; and not at all if it is the same, since CRIU would take a
/// new file for another program.
pub(super) fn copy_if_changed(from: &Path, to: &Path) -> io::Result<()> {
    let contents = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    let partial = to.with_extension("partial");
    fs::copy(from, &partial)?;
    fs::rename(&partial, to)
}
