//! A server of the control plane: its process and its log.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::tools::tool;
use crate::wait::wait_for;

/// How far the heap may grow before garbage is collected, in percent (runtime of Go): these processes live for seconds, and
/// kube-apiserver gets ready with a quarter less of processor time than with Go's own 100, for some 100 MB of memory.
const GOGC: &str = "300";

/// A process that is ended when this is dropped.
pub struct Daemon {
    name: String,
    args: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a program of the cluster; its log is in `directory`.
    ///
    /// # Errors
    /// It is missing or cannot be started.
    pub fn start(name: &str, args: Vec<String>, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let mut daemon = Self { name: name.to_owned(), args, log, child: None };
        daemon.launch()?;
        Ok(daemon)
    }

    /// Starts it again as it was started first; its log goes on.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(tool(&self.name)?)
            .args(&self.args)
            .env("GOGC", GOGC)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().with_context(|| format!("{} has ended", self.name))?;
        Ok(kill(Pid::from_raw(child.id().cast_signed()), signal)?)
    }

    /// Waits until `condition` holds, as long as it runs.
    ///
    /// # Errors
    /// It ends first, or the condition does not come to hold; the message has the end of the log.
    pub fn wait_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
        let mut ended = None;
        let child = self.child.as_mut().with_context(|| format!("{} has ended", self.name))?;
        let waited = wait_for(what, || {
            ended = child.try_wait().ok().flatten();
            (ended.is_some() || condition()).then_some(())
        });
        if let Some(status) = ended {
            bail!(
                "{} ended with {:?}/{:?}: {}",
                self.name,
                status.code(),
                status.signal(),
                self.last_words()
            );
        }
        waited.with_context(|| self.last_words())
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let last: Vec<&str> = log.lines().rev().take(12).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
