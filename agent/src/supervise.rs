//! Supervises the tree: passes signals on, reaps, and says when it has ended.
//!
//! All signals are blocked and read from a descriptor (signalfd(2)), so the agent sleeps until there is something to
//! do. What is not read stays pending: while a checkpoint is taken nothing is passed to a frozen tree.

use std::io;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::reap::{Status, reap};

/// Blocks all signals for this thread and those it will start. To be called before any other thread runs.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub fn block_signals() -> io::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    Ok(SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// What a supervisor reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A signal for the application.
    Signal(i32),
    /// The tree's root has ended.
    Ended(Status),
}

/// Watches over one tree.
pub struct Supervisor {
    signals: AsyncFd<SignalFd>,
    root: i32,
    ended: Option<Status>,
}

impl Supervisor {
    /// For the tree of `root`, which is a child of this process.
    ///
    /// # Errors
    /// The descriptor cannot be registered with the runtime.
    pub fn new(signals: SignalFd, root: i32) -> io::Result<Self> {
        // SAFETY: the descriptor belongs to `signals` and stays the same until the AsyncFd drops it.
        let signals = unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE)? };
        Ok(Self { signals, root, ended: None })
    }

    /// Waits for the next event. Once the root has ended, that is the only one.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn next(&mut self) -> io::Result<Event> {
        loop {
            // Also without a SIGCHLD: one may have been read while only the root was waited for.
            self.ended = self.ended.or_else(|| reap(self.root));
            if let Some(status) = self.ended {
                return Ok(Event::Ended(status));
            }
            let signal = self.read_signal().await?;
            if signal != libc::SIGCHLD {
                return Ok(Event::Signal(signal));
            }
        }
    }

    async fn read_signal(&self) -> io::Result<i32> {
        let read = |fd: &SignalFd| Ok(fd.read_signal()?);
        let info = self.signals.async_io(Interest::READABLE, |fd| match read(fd) {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            other => other,
        });
        Ok(info.await?.map_or(libc::SIGCHLD, |info| info.ssi_signo.cast_signed()))
    }

    /// Passes a signal on, by way of the init. Any number is possible, real-time signals too.
    pub fn forward(&self, signal: i32) {
        // SAFETY: kill(2) takes two numbers. An error means that the root has ended, which `next` reports.
        unsafe { libc::kill(self.root, signal) };
    }
}
