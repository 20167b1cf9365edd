//! `make cluster-up` and `make cluster-down`: a cluster that a process in the background holds.
//!
//! Its files belong to who has the cluster's lock: nobody else writes or removes them.

use std::fs::{self, File};
use std::io::read_to_string;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, setsid};
use tempfile::NamedTempFile;

use super::directory::Directory;
use super::images::Image;
use super::process::Process;
use super::{Cluster, DIRECTORY, prepare};

/// Where the holder's process, its kubeconfig and its log are.
fn file(extension: &str) -> PathBuf {
    Path::new(DIRECTORY).with_extension(extension)
}

/// The kubeconfig of the cluster that is up.
pub fn kubeconfig() -> PathBuf {
    file("kubeconfig")
}

/// The process that holds the cluster, if it lives.
pub fn holder() -> Option<Pid> {
    named().filter(Process::lives).map(|process| process.pid())
}

/// The process that says that it holds the cluster.
fn named() -> Option<Process> {
    fs::read_to_string(file("pid")).ok()?.parse().ok()
}

/// Starts a cluster in the background, and waits until it is ready; does nothing if there is one.
///
/// # Errors
/// It does not get ready; the message has the holder's log.
pub fn up() -> Result<()> {
    if holder().is_some() {
        return Ok(());
    }
    // The log of one that is up must not be overwritten, so the holder moves this one to its place.
    let log = NamedTempFile::with_prefix_in("crik-cluster-log-", "/var/tmp")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("hold").arg(log.path()).stdin(Stdio::null());
    let writer = File::options().append(true).open(log.path())?;
    command.stdout(writer.try_clone()?).stderr(writer);
    // SAFETY: setsid(2) is a system call and no more.
    unsafe { command.pre_exec(|| setsid().map(drop).map_err(Into::into)) };
    let mut child = command.spawn()?;
    let pid = Pid::from_raw(child.id().cast_signed());
    while !(holder() == Some(pid) && kubeconfig().exists()) {
        let ended = child.try_wait()?;
        ensure!(ended.is_none(), "{}", read_to_string(log.as_file())?);
        thread::sleep(Duration::from_millis(50));
    }
    print!("{}", read_to_string(log.as_file())?);
    Ok(())
}

/// Ends the cluster, and waits until nothing is left of it; does nothing if there is none.
///
/// # Errors
/// It does not end.
pub fn down() -> Result<()> {
    let Some(process) = named().filter(Process::lives) else { return sweep() };
    kill(process.pid(), Signal::SIGTERM)?;
    for _ in 0..600 {
        if !process.lives() {
            return sweep();
        }
        thread::sleep(Duration::from_millis(100));
    }
    let log = file("log");
    bail!("the cluster's holder, process {}, does not end; its log is {}", process.pid(), log.display())
}

/// Removes what a cluster that was killed has left, as the next one would.
fn sweep() -> Result<()> {
    let _directory = Directory::new()?;
    forget();
    Ok(())
}

/// What the process in the background does: it has a cluster until it gets a SIGTERM.
///
/// # Errors
/// There is another cluster, whose files are left as they are; or it does not get ready.
pub fn hold(log: &Path) -> Result<()> {
    // Before any thread exists, so that no thread takes them.
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    let images = prepare()?;
    let directory = Directory::new()?;
    // Kept until the files are removed, which is when the cluster has ended.
    let _lock = directory.lock()?;
    forget();
    fs::rename(log, file("log")).with_context(|| log.display().to_string())?;
    let outcome = hold_in(directory, &images, &signals);
    forget();
    outcome
}

fn hold_in(directory: Directory, images: &[Image], signals: &SigSet) -> Result<()> {
    write("pid", Process::this()?.to_string().as_bytes())?;
    let cluster = Cluster::start_in(directory, images)?;
    write("kubeconfig", &fs::read(cluster.plane().kubeconfig())?)?;
    signals.wait().context("cannot wait for a signal")?;
    Ok(())
}

/// Whole or not at all, for those who wait for it.
fn write(extension: &str, content: &[u8]) -> Result<()> {
    fs::write(file("partial"), content)?;
    Ok(fs::rename(file("partial"), file(extension))?)
}

fn forget() {
    for extension in ["kubeconfig", "pid", "partial"] {
        let _ = fs::remove_file(file(extension));
    }
}
