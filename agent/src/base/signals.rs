//! Signals, read from a descriptor (signalfd(2)): all are blocked, so the agent sleeps until there is something to do.
//! What is not read stays pending.

use std::io;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
pub struct Signals(AsyncFd<SignalFd>);

impl Signals {
    /// Reads from `signals`.
    ///
    /// # Errors
    /// The descriptor cannot be registered with the runtime.
    pub fn new(signals: SignalFd) -> io::Result<Self> {
        // SAFETY: the descriptor belongs to `signals` and stays the same until the AsyncFd drops it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE)? }))
    }

    /// Waits for the next signal. Nothing is lost if this is dropped while it waits.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn next(&self) -> io::Result<i32> {
        let read = |fd: &SignalFd| Ok(fd.read_signal()?);
        let info = self.0.async_io(Interest::READABLE, |fd| match read(fd) {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            other => other,
        });
        Ok(info.await?.map_or(libc::SIGCHLD, |info| info.ssi_signo.cast_signed()))
    }

    /// Waits for a signal that asks a program to end. There is none to pass others on to.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn to_end(&self) -> io::Result<i32> {
        loop {
            let signal = self.next().await?;
            if matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT | libc::SIGHUP) {
                return Ok(signal);
            }
        }
    }
}
