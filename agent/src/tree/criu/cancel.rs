//! Gives up a step that CRIU works in.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::child::child_pid;
use super::failable_dump::{is_failable, refuse_writes};
use super::page_fifos::refuse_pages;
use crate::base::limits;

/// Makes CRIU fail, and waits a moment for the step that called it; what the step returns is dropped, so that a stopped tree
/// goes on. A CRIU that does not fail by itself in time is killed. Returns the step if it has not ended by then.
pub async fn give_up<T>(mut step: JoinHandle<T>) -> Option<JoinHandle<T>> {
    // Without a CRIU the step waits for the volume, and nobody can hurry that. One may be about to start.
    if ends(&mut step, limits::CANCEL_PAUSE * 4, cancel).await {
        return None;
    }
    let ended = child_pid().is_some()
        && (ends(&mut step, limits::FAIL_PATIENCE, cancel).await
            || ends(&mut step, limits::CANCEL_PATIENCE, kill_now).await);
    (!ended).then_some(step)
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
    refuse_pages();
    let Some(pid) = child_pid() else { return };
    if !is_failable() || refuse_writes(pid).is_err() {
        kill_now();
    }
}

/// Ends the call that is under way at once, whatever becomes of what it works on.
pub fn kill_now() {
    if let Some(pid) = child_pid() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
