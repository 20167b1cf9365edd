//! A program of the cluster: on this machine, or in a node.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespaces::Namespaces;
use crate::wait::wait_for;

/// A process that is ended when this is dropped. Its log is in a file of its name.
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

/// Where a program is to run.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// This machine.
    Host,
    /// A node.
    Node(&'a Namespaces),
}

impl Program {
    /// Starts one, whose log is in `directory`.
    ///
    /// # Errors
    /// It is missing or cannot be started.
    pub fn start(place: Place<'_>, mut command: Command, directory: &Path) -> Result<Self> {
        let path = Path::new(command.get_program()).to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = match place {
            Place::Host => command.spawn().map_err(Into::into),
            Place::Node(namespaces) => namespaces.spawn(&mut command),
        };
        let child = child.with_context(|| format!("cannot start {}", path.display()))?;
        Ok(Self { name, log, child })
    }

    /// Waits until `condition` holds, as long as it runs.
    ///
    /// # Errors
    /// It ends first, or the condition does not come to hold; the message has the end of the log.
    pub fn wait_until(&mut self, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
        let waited = wait_for(what, || {
            (condition() || self.child.try_wait().is_ok_and(|ended| ended.is_some())).then_some(())
        });
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} has ended: {}", self.name, self.last_words());
        waited.with_context(|| self.last_words())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let log = self.log();
        last(&log.lines().collect::<Vec<_>>())
    }

    /// Its name, the last errors in its log (as klog and logrus write them), and its last lines.
    pub fn complaints(&self) -> String {
        let log = self.log();
        let is_error = |line: &&str| line.starts_with(['E', 'F']) || line.contains("level=error");
        let errors: Vec<&str> = log.lines().filter(is_error).collect();
        format!("{}:\n{}\n…\n{}", self.name, last(&errors), self.last_words())
    }
}

fn last(lines: &[&str]) -> String {
    lines[lines.len().saturating_sub(12)..].join("\n")
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
