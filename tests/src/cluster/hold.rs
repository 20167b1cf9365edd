//! `make cluster-up` and `make cluster-down`: a cluster that a process in the background holds.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, setsid};

use super::directory::Directory;
use super::{Cluster, DIRECTORY};

/// Where the holder's process id, its kubeconfig and its log are.
fn file(extension: &str) -> PathBuf {
    Path::new(DIRECTORY).with_extension(extension)
}

/// The kubeconfig of the cluster that is up.
pub fn kubeconfig() -> PathBuf {
    file("kubeconfig")
}

/// The file that the holder's process id is in.
pub fn pid_file() -> PathBuf {
    file("pid")
}

/// Starts a cluster in the background, and waits until it is ready; does nothing if there is one.
///
/// # Errors
/// It does not get ready; the message has the holder's log.
pub fn up() -> Result<()> {
    if holder().is_some() {
        return Ok(());
    }
    forget();
    let log = File::create(file("log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("hold").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // SAFETY: setsid(2) is a system call and no more.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(Into::into)) };
    let mut child = command.spawn()?;
    while !kubeconfig().exists() {
        let ended = child.try_wait()?;
        ensure!(ended.is_none(), "{}", fs::read_to_string(file("log")).unwrap_or_default());
        thread::sleep(Duration::from_millis(50));
    }
    print!("{}", fs::read_to_string(file("log"))?);
    Ok(())
}

/// Ends the cluster, and waits until nothing is left of it; does nothing if there is none.
///
/// # Errors
/// It does not end.
pub fn down() -> Result<()> {
    let Some(pid) = holder() else { return sweep() };
    kill(pid, Signal::SIGTERM)?;
    for _ in 0..600 {
        if holder().is_none() {
            return sweep();
        }
        thread::sleep(Duration::from_millis(100));
    }
    bail!("the cluster's holder, process {pid}, does not end; its log is {}", file("log").display())
}

/// Removes what a cluster that was killed has left, as the next one would.
fn sweep() -> Result<()> {
    forget();
    Directory::new().map(drop)
}

/// What the process in the background does: it has a cluster until it gets a SIGTERM.
///
/// # Errors
/// The cluster does not get ready.
pub fn hold() -> Result<()> {
    // Before any thread exists, so that no thread takes them.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    fs::write(file("pid"), std::process::id().to_string())?;
    let outcome = Cluster::start().and_then(|cluster| {
        let partial = file("partial");
        fs::copy(cluster.plane().kubeconfig(), &partial)?;
        fs::rename(partial, kubeconfig())?;
        signals.wait().context("cannot wait for a signal")?;
        Ok(())
    });
    forget();
    outcome
}

fn forget() {
    for extension in ["kubeconfig", "pid"] {
        let _ = fs::remove_file(file(extension));
    }
}

/// The process that holds the cluster, if it lives.
fn holder() -> Option<Pid> {
    let pid = fs::read_to_string(file("pid")).ok()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == "cluster").then(|| Pid::from_raw(pid))
}
