//! The program that is dumped and restored.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, wait, waitpid};
use nix::unistd::Pid;

/// What it says is here.
const OUTPUT: &str = "/tmp/output";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program in a session of its own, which writes its steps to a file.
pub struct Program {
    pub root: i32,
}

impl Program {
    pub fn start(arguments: &[String]) -> Result<Self> {
        let output = File::options().create(true).append(true).open(OUTPUT)?;
        let mut command = Command::new("setsid");
        command.arg("python3").args(arguments).env("GOODBYE", "7");
        let child = command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output).spawn()?;
        let program = Self { root: child.id().cast_signed() };
        program.goes_on()?;
        Ok(program)
    }

    pub fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(OUTPUT)?)
    }

    /// Waits until it has made further steps.
    pub fn goes_on(&self) -> Result<()> {
        let before = self.said()?.lines().count();
        wait_until("further steps", || Ok(self.said()?.lines().count() > before + 20))
    }

    /// Has it look at all of its memory and ask all of its children, and end.
    pub fn ends_well(&self) -> Result<()> {
        kill(Pid::from_raw(self.root), Signal::SIGTERM)?;
        let status = waitpid(Pid::from_raw(self.root), None)?;
        let said = self.said()?;
        ensure!(matches!(status, WaitStatus::Exited(_, 7)), "{status:?}: {}", tail(&said));
        ensure!(said.ends_with("goodbye\n"), "{}", tail(&said));
        end_all()
    }

    /// Nothing of it has run since it said this.
    pub fn has_not_run(&self, said: &str) -> Result<()> {
        end_all()?;
        ensure!(self.said()? == said, "it ran");
        Ok(())
    }
}

fn tail(text: &str) -> &str {
    &text[text.len().saturating_sub(500)..]
}

/// Ends whatever else is in this container, and waits until its ids are free.
pub fn end_all() -> Result<()> {
    let own = std::process::id().cast_signed();
    ensure!(own == 1, "only the first process of a container may end all others");
    let began = Instant::now();
    loop {
        let ids =
            fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        for other in ids.filter(|id| *id != own) {
            let _ = kill(Pid::from_raw(other), Signal::SIGKILL);
        }
        match wait() {
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error).context("cannot wait"),
            Ok(_) if began.elapsed() > PATIENCE => bail!("children do not end"),
            Ok(_) => {}
        }
    }
}

pub fn wait_until(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        ensure!(
            began.elapsed() < PATIENCE,
            "no {what}: {}",
            tail(&fs::read_to_string(OUTPUT).unwrap_or_default())
        );
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A fresh directory for images.
pub fn directory() -> Result<PathBuf> {
    let path = Path::new("/tmp/images");
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    fs::create_dir(path)?;
    Ok(path.to_owned())
}
