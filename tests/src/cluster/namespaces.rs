//! The namespaces that make a node of a part of this machine: processes, mounts, links and a host name of its own.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{io, thread};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns, unshare};

/// The namespaces of a process.
#[derive(Debug, Clone)]
pub struct Namespaces {
    process: PathBuf,
}

impl Namespaces {
    /// Starts a program as the first process of new ones.
    ///
    /// # Errors
    /// It cannot be started, or this is not root.
    pub fn new(mut first: Command) -> Result<(Self, Child)> {
        let others = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
        // SAFETY: unshare(2) is a system call and no more.
        unsafe { first.pre_exec(move || unshare(others).map_err(io::Error::from)) };
        let child = in_thread(|| {
            // A child of this thread is the first process of the new namespace; the thread itself stays where it is.
            unshare(CloneFlags::CLONE_NEWPID)?;
            Ok(first.spawn()?)
        })?;
        Ok((Self { process: PathBuf::from(format!("/proc/{}/ns", child.id())) }, child))
    }

    /// Starts a program in them.
    ///
    /// # Errors
    /// It cannot be started, or the namespaces have ended.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        let files = ["uts", "net", "mnt"].map(|kind| File::open(self.process.join(kind)));
        let files: Vec<File> = files.into_iter().collect::<io::Result<_>>().context("the node has ended")?;
        let processes = File::open(self.process.join("pid"))?;
        // SAFETY: setns(2) is a system call and no more; the files are open until the child was started.
        unsafe {
            command.pre_exec(move || {
                files.iter().try_for_each(|file| setns(file, CloneFlags::empty()).map_err(io::Error::from))
            })
        };
        in_thread(|| {
            setns(&processes, CloneFlags::CLONE_NEWPID)?;
            Ok(command.spawn()?)
        })
    }

    /// Does something to its mounts, in a thread of its own.
    ///
    /// # Errors
    /// It fails, or the namespaces have ended.
    pub fn among_mounts(&self, what: impl FnOnce() -> io::Result<()> + Send) -> Result<()> {
        let mounts = File::open(self.process.join("mnt")).context("the node has ended")?;
        let there = || {
            // setns(2): not while a thread shares its root directory with others.
            unshare(CloneFlags::CLONE_FS)?;
            setns(&mounts, CloneFlags::CLONE_NEWNS)?;
            what()
        };
        thread::scope(|scope| scope.spawn(there).join().ok().context("a thread panicked"))?
            .map_err(Into::into)
    }

    /// Runs a command in them to its end, and returns what it printed.
    ///
    /// # Errors
    /// It cannot be started, or it failed, which tells what it said.
    pub fn run(&self, mut command: Command) -> Result<String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.spawn(&mut command)?.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", command.get_program().to_string_lossy(), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// What a thread does to its own children must not happen to those of others.
fn in_thread(start: impl FnOnce() -> Result<Child> + Send) -> Result<Child> {
    thread::scope(|scope| scope.spawn(start).join().ok().context("a thread panicked")?)
}
