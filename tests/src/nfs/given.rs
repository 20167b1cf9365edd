//! What the host gives the machine: a disk with the programs under test and what tests read, each under the path that it has
//! on the host.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::INSIDE;
use crate::build::{cargo_bin, target_directory, workspace};
use crate::command::run;
use crate::tools::runc_path;

/// The first process of the machine.
const INIT: &str = include_str!("../../nfs/init.sh");

/// How large the disk is: a program of a suite has some 100 MB. What is not used takes no room.
const SIZE: &str = "1G";

/// A disk that has no name any more, so that it vanishes with whoever has it open.
///
/// # Errors
/// A program does not build, or the disk cannot be made.
pub fn disk() -> Result<File> {
    let dir = tempfile::Builder::new().prefix("crik-machine-").tempdir_in("/var/tmp")?;
    let (root, image) = (dir.path().join("root"), dir.path().join("disk"));
    fill(&root)?;
    let (from, to) = (root.to_string_lossy(), image.to_string_lossy());
    run("mke2fs", &["-q", "-t", "ext4", "-d", &from, &to, SIZE])?;
    Ok(File::options().read(true).write(true).open(image)?)
}

fn fill(root: &Path) -> Result<()> {
    let test = env::current_exe()?;
    let programs = workspace().join("tests/programs");
    let script = workspace().join("tests/tools/runtime/runc.sh");
    for path in [&test, &cargo_bin("crik-agent", "crik", &[])?, &programs, &script] {
        give(root, path, path)?;
    }
    give(root, &runc_path()?, Path::new("/usr/local/bin/runc"))?;
    write(root, "init", INIT)?;
    write(root, "test", &runner(&test)?)
}

/// How the machine runs a test.
fn runner(test: &Path) -> Result<String> {
    let mut script = String::new();
    let target = target_directory();
    for (name, value) in [(INSIDE, Path::new("1")), ("CARGO_TARGET_DIR", &target)] {
        writeln!(script, "export {name}='{}'", value.display())?;
    }
    writeln!(script, "exec '{}' --exact \"$1\" --nocapture --test-threads 1", test.display())?;
    Ok(script)
}

fn write(root: &Path, name: &str, text: &str) -> Result<()> {
    let dir = root.join("etc/crik-machine");
    fs::create_dir_all(&dir)?;
    Ok(fs::write(dir.join(name), text)?)
}

fn give(root: &Path, from: &Path, to: &Path) -> Result<()> {
    let to = root.join(to.strip_prefix("/")?);
    fs::create_dir_all(to.parent().context("no parent")?)?;
    run("cp", &["--archive", &from.to_string_lossy(), &to.to_string_lossy()]).map(drop)
}
