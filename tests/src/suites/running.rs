//! A suite that runs. What it says is kept until it has ended, so that it can be read.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::time::Instant;

use anyhow::{Context as _, Result};
use nix::sys::signal::SigSet;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::{Ended, Outcome, Suite};

pub(super) struct Running {
    name: String,
    child: Child,
    /// A file, since who waits for the end of a pipe waits for all that the suite has started.
    output: File,
    began: Instant,
}

impl Running {
    pub(super) fn begin(suite: &Suite) -> Result<Self> {
        let output = tempfile::tempfile()?;
        let mut command = suite.command();
        command.stdout(output.try_clone()?).stderr(output.try_clone()?);
        // What this program has blocked to wait for it would else be blocked in all that the suite starts.
        // SAFETY: sigprocmask(2) is a system call and no more.
        unsafe { command.pre_exec(|| SigSet::empty().thread_set_mask().map_err(Into::into)) };
        let child = command.spawn().with_context(|| format!("cannot run {}", suite.name))?;
        println!("== {} begins", suite.name);
        Ok(Self { name: suite.name.clone(), child, output, began: Instant::now() })
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Until it has ended, and not been reaped yet.
    pub(super) fn wait(&self) -> Result<()> {
        waitid(Id::Pid(self.pid()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        Ok(())
    }

    /// Reaps it, and prints all that it said.
    pub(super) fn end(mut self) -> Result<Ended> {
        let (took, status, mut said) = (self.began.elapsed(), self.child.wait()?, Vec::new());
        self.output.rewind()?;
        self.output.read_to_end(&mut said)?;
        let said = String::from_utf8_lossy(&said);
        println!("\n== {} ended after {:.1} s\n{said}", self.name, took.as_secs_f64());
        let outcome = Outcome::of(status, &said);
        Ok(Ended { name: self.name, outcome, took })
    }
}
