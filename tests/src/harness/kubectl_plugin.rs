//! `kubectl crik` as a user has it: kubectl finds the plugin in PATH.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use super::build::{cargo_bin, kept};
use crate::tools::tool;

/// Calls it, and returns how it ends and what it says.
///
/// # Errors
/// It cannot be built or started.
pub fn kubectl_crik(kubeconfig: &Path, words: &[&str]) -> Result<Output> {
    let kubectl = tool("kubectl")?;
    let tools = kubectl.parent().context("no directory")?;
    let others = env::var_os("PATH").unwrap_or_default();
    let path = [plugins()?, tools.to_owned()].into_iter().chain(env::split_paths(&others));
    let path = env::join_paths(path)?;
    let mut command = Command::new(&kubectl);
    command.arg("crik").args(words).env("PATH", path).env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
    Ok(command.output()?)
}

/// What it prints.
///
/// # Errors
/// It fails; the message has what it says.
pub fn said(kubeconfig: &Path, words: &[&str]) -> Result<String> {
    let output = kubectl_crik(kubeconfig, words)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl crik {}: {complaint}", words.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A directory with the agent's program by the plugin's name.
fn plugins() -> Result<PathBuf> {
    let (program, directory) = (cargo_bin("crik-agent", "crik", &[])?, kept()?.join("plugins"));
    fs::create_dir_all(&directory)?;
    let link = directory.join("kubectl-crik");
    if fs::read_link(&link).ok().as_ref() != Some(&program) {
        let _ = fs::remove_file(&link);
        symlink(&program, &link)?;
    }
    Ok(directory)
}
