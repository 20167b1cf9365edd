//! Signals, read from a descriptor (signalfd(2)): all are blocked, so the agent sleeps until there is something to do.
//! What is not read stays pending.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Mutex;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::base::panics::locked;

/// The sender of what comes from a process that this PID namespace does not have (kernel/signal.c, `send_signal_locked`): a container's
/// runtime, and nobody in the container.
const OUTSIDE: u32 = 0;

/// What a program ends by that does nothing about it, and by which people end one.
fn ends(sent: Sent) -> bool {
    sent.asks_for_a_stop || matches!(sent.number, libc::SIGINT | libc::SIGQUIT | libc::SIGHUP)
}

/// Blocks all signals for this thread and those it will start. To be called before any other thread runs.
///
/// # Errors
/// The kernel refuses, which it has no reason to.
pub fn block_signals() -> io::Result<SignalFd> {
    let all = SigSet::all();
    all.thread_block()?;
    Ok(SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// A signal that was sent to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its number.
    pub number: i32,
    /// Whether it asks for a stop. Others are for the program alone.
    pub asks_for_a_stop: bool,
}

/// The signals that were sent to this process.
pub struct Signals {
    fd: AsyncFd<SignalFd>,
    /// Those by which the container's runtime may ask for a stop.
    stops: BTreeSet<i32>,
    /// Those that came before there was a program to pass them on to, in their order. Like pending ones each counts once (signal(7)).
    early: Mutex<VecDeque<Sent>>,
}

impl Signals {
    /// Reads from `signals`, of which `stops` ask for a stop if they come from outside of the container, as a runtime's do. A SIGTERM asks
    /// for it whoever sends it.
    ///
    /// # Errors
    /// The descriptor cannot be registered with the runtime.
    pub fn new(signals: SignalFd, stops: BTreeSet<i32>) -> io::Result<Self> {
        // SAFETY: the descriptor belongs to `signals` and stays the same until the AsyncFd drops it.
        let fd = unsafe { AsyncFd::register_with_interest(signals, Interest::READABLE)? };
        Ok(Self { fd, stops, early: Mutex::default() })
    }

    /// Waits for the next signal; those that came early are the first. Nothing is lost if this is dropped while it waits.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn next(&self) -> io::Result<Sent> {
        let early = locked(&self.early).pop_front();
        match early {
            Some(signal) => Ok(signal),
            None => self.read().await,
        }
    }

    async fn read(&self) -> io::Result<Sent> {
        let read = |fd: &SignalFd| Ok(fd.read_signal()?);
        let info = self.fd.async_io(Interest::READABLE, |fd| match read(fd) {
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            other => other,
        });
        let nothing = Sent { number: libc::SIGCHLD, asks_for_a_stop: false };
        Ok(info.await?.map_or(nothing, |info| self.sent(&info)))
    }

    fn sent(&self, info: &siginfo) -> Sent {
        let number = info.ssi_signo.cast_signed();
        let from_outside = info.ssi_code == libc::SI_USER && info.ssi_pid == OUTSIDE;
        let asks_for_a_stop = number == libc::SIGTERM || from_outside && self.stops.contains(&number);
        Sent { number, asks_for_a_stop }
    }

    /// Waits for a signal that asks a program to end. There is none yet to pass others on to, so they are kept.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub async fn to_end(&self) -> io::Result<Sent> {
        if let Some(sent) = self.take_ending() {
            return Ok(sent);
        }
        loop {
            match self.read().await? {
                sent if ends(sent) => return Ok(sent),
                Sent { number: libc::SIGCHLD, .. } => {}
                sent => self.keep(sent),
            }
        }
    }

    fn take_ending(&self) -> Option<Sent> {
        let mut early = locked(&self.early);
        let position = early.iter().position(|sent| ends(*sent))?;
        early.remove(position)
    }

    fn keep(&self, sent: Sent) {
        let mut early = locked(&self.early);
        if !early.contains(&sent) {
            early.push_back(sent);
        }
    }

    /// Gives back what was read too early: whoever reads next gets it.
    pub fn give_back(&self, sent: Sent) {
        self.keep(sent);
    }

    /// Forgets what came early: it was sent before there was a program, and one that has not begun to handle it would end of it. What asks
    /// for a stop still does.
    pub fn forget_early(&self) {
        locked(&self.early).retain(|sent| sent.asks_for_a_stop);
    }
}
