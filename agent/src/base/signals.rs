//! Signals, read from a descriptor (signalfd(2)): all are blocked, so the agent sleeps until there is something to do.
//! What is not read stays pending.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::base::panics::locked;

/// Blocks all signals for this thread and those it will start. To be called before any other thread runs.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub fn block_signals() -> io::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    Ok(SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// The signals that were sent to this process.
pub struct Signals {
    fd: AsyncFd<SignalFd>,
    /// Those that came before there was a program to pass them on to, in their order. Like pending ones each counts once (signal(7)).
    early: Mutex<VecDeque<i32>>,
}

impl Signals {
    /// Reads from `signals`.
    ///
    /// # Errors
    /// The descriptor cannot be registered with the runtime.
    pub fn new(signals: SignalFd) -> io::Result<Self> {
        // SAFETY: the descriptor belongs to `signals` and stays the same until the AsyncFd drops it.
        let fd = unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE)? };
        Ok(Self { fd, early: Mutex::default() })
    }

    /// Waits for the next signal; those that came early are the first. Nothing is lost if this is dropped while it waits.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn next(&self) -> io::Result<i32> {
        let early = locked(&self.early).pop_front();
        match early {
            Some(signal) => Ok(signal),
            None => self.read().await,
        }
    }

    async fn read(&self) -> io::Result<i32> {
        let read = |fd: &SignalFd| Ok(fd.read_signal()?);
        let info = self.fd.async_io(Interest::READABLE, |fd| match read(fd) {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            other => other,
        });
        Ok(info.await?.map_or(libc::SIGCHLD, |info| info.ssi_signo.cast_signed()))
    }

    /// Waits for a signal that asks a program to end. There is none yet to pass others on to, so they are kept.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn to_end(&self) -> io::Result<i32> {
        loop {
            match self.read().await? {
                signal @ (libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP) => return Ok(signal),
                libc::SIGCHLD => {}
                signal => self.keep(signal),
            }
        }
    }

    fn keep(&self, signal: i32) {
        let mut early = locked(&self.early);
        if !early.contains(&signal) {
            early.push_back(signal);
        }
    }

    /// Forgets what came early: it was sent before there was a program, and one that has not begun to handle it would end of it.
    pub fn forget_early(&self) {
        locked(&self.early).clear();
    }
}
