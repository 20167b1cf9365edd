//! Compiles the programs of pods that are written in C, C++ or Go.

use std::env::consts::ARCH;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::build::{copy_if_changed, kept, workspace};

/// Compiles a program of `tests/programs`. C is linked statically, and so is Go; C++ dynamically, but for its own library, which
/// the pods do not have. From `*.so.c` comes a library.
///
/// # Errors
/// It does not compile, or there is no compiler for it.
pub fn compiled(source: &str) -> Result<PathBuf> {
    let program = kept()?.join(source.replace(['/', '.'], "-"));
    let lock = File::create(program.with_extension("lock"))?;
    lock.lock()?;
    let partial = program.with_extension("new");
    let output = compiler(source)?
        .arg("-o")
        .arg(&partial)
        .arg(workspace().join("tests/programs").join(source))
        .output()
        .with_context(|| format!("no compiler for {source} on {ARCH}"))?;
    ensure!(output.status.success(), "{source}:\n{}", String::from_utf8_lossy(&output.stderr));
    copy_if_changed(&partial, &program)?;
    fs::remove_file(partial)?;
    Ok(program)
}

fn compiler(source: &str) -> Result<Command> {
    let of = |name: &str, options: &[&str]| {
        let mut command = Command::new(name);
        command.args(options);
        command
    };
    Ok(match Path::new(source).extension().and_then(|kind| kind.to_str()) {
        Some("c") if source.ends_with(".so.c") => of("cc", &["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]),
        Some("c") => of("cc", &["-static", "-O1", "-Wall", "-Werror"]),
        Some("cpp") => of(
            "g++",
            &["-std=c++20", "-O1", "-Wall", "-Werror", "-pthread", "-static-libstdc++", "-static-libgcc"],
        ),
        Some("go") => {
            let mut command = of("go", &["build", "-trimpath"]);
            command.env("CGO_ENABLED", "0");
            command
        }
        _ => bail!("nobody knows how to compile {source}"),
    })
}
