//! Gives up a step that CRIU works in.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::{criu, limits};

/// Set while a dump can be made to fail by itself.
static DUMPING: AtomicBool = AtomicBool::new(false);

/// True while a dump is under way that can be made to fail by itself.
pub fn is_failable() -> bool {
    DUMPING.load(Ordering::Acquire)
}

/// Makes CRIU fail, and waits a moment for the step that called it; what the step returns is dropped, so that a stopped tree
/// goes on. A CRIU that does not fail by itself in time is killed.
pub async fn give_up<T>(mut step: JoinHandle<T>) {
    // Without a CRIU the step waits for the volume, and nobody can hurry that. One may be about to start.
    if ends(&mut step, limits::CANCEL_PAUSE * 4, cancel).await || criu::child_pid().is_none() {
        return;
    }
    if !ends(&mut step, limits::FAIL_PATIENCE, cancel).await {
        ends(&mut step, limits::CANCEL_PATIENCE, kill_now).await;
    }
}

/// Does `what` again and again, since CRIU may just be about to start. True once the step has ended.
async fn ends<T>(step: &mut JoinHandle<T>, patience: Duration, what: fn()) -> bool {
    let patience = Instant::now() + patience;
    while Instant::now() < patience {
        what();
        if timeout_at(Instant::now() + limits::CANCEL_PAUSE, &mut *step).await.is_ok() {
            return true;
        }
    }
    false
}

/// Makes the call that is under way fail. A dump fails by itself: its next write is refused, so that it takes its own
/// way out, on which it gives every process back as it found it. A dump that is killed may leave its code in one of them
/// in place of the application's own (measured: about one tree in ten is lost by that). What a restore has made is ended
/// anyway, so CRIU is killed.
fn cancel() {
    let Some(pid) = criu::child_pid() else { return };
    if !is_failable() || refuse_writes(pid).is_err() {
        kill_now();
    }
}

/// Ends the call that is under way at once, whatever becomes of what it works on.
fn kill_now() {
    if let Some(pid) = criu::child_pid() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Lowers the size up to which `pid` may write files to nothing (prlimit(2)), for which a process of our own user needs no
/// capability.
fn refuse_writes(pid: i32) -> io::Result<()> {
    let nothing = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: prlimit(2) reads one structure, to which the reference is valid.
    let set = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &nothing, std::ptr::null_mut()) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// While this exists, a CRIU that is started survives a write which the file size limit refuses: it inherits that SIGXFSZ is
/// ignored. Only for a dump, since what a restore makes would inherit it too.
pub struct Failable {
    before: SigAction,
}

impl Failable {
    /// Begins a dump.
    ///
    /// # Errors
    /// SIGXFSZ cannot be ignored.
    pub fn begin() -> io::Result<Self> {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler of ours is installed.
        let before = unsafe { sigaction(Signal::SIGXFSZ, &ignore) }?;
        DUMPING.store(true, Ordering::Release);
        Ok(Self { before })
    }
}

impl Drop for Failable {
    fn drop(&mut self) {
        DUMPING.store(false, Ordering::Release);
        // SAFETY: it was in force before.
        let _ = unsafe { sigaction(Signal::SIGXFSZ, &self.before) };
    }
}
