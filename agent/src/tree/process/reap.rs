//! The one place that waits for our children; `adopt.rs` waits for stops of what it traces.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::base::{exit_codes, limits};
use crate::tree::process::snapshot::Snapshot;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By itself, with this exit status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// waitpid(2)'s id for whichever child has ended.
const ANY_CHILD: i32 = -1;

/// No process has this id.
const NOBODY: i32 = 0;

impl Status {
    /// Reads what wait(2) gives for a process that has ended.
    fn decode(encoded: i32) -> Self {
        if libc::WIFEXITED(encoded) {
            Self::Exited(libc::WEXITSTATUS(encoded))
        } else {
            Self::Signaled(libc::WTERMSIG(encoded))
        }
    }

    /// The exit code with which the agent passes it on.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => exit_codes::SIGNAL_BASE + signal,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Reaps every child that has ended, and tells how `root` ended if it is among them. To be called at each SIGCHLD,
/// which may stand for any number of children.
///
/// While somebody else waits for a child ([`Elsewhere`]), only `root` is waited for. What ends meanwhile is reaped at the next
/// call.
pub fn reap(root: i32) -> Option<Status> {
    collect(if WAITED_ELSEWHERE.load(Ordering::Acquire) > 0 { root } else { ANY_CHILD }, root)
}

static WAITED_ELSEWHERE: AtomicUsize = AtomicUsize::new(0);

/// As long as one of these lives, a child belongs to who has made it: its status is not taken away, and a SIGKILL for it
/// cannot meet another process under the same id.
pub struct Elsewhere(());

impl Elsewhere {
    /// To be made before the child.
    pub fn begin() -> Self {
        WAITED_ELSEWHERE.fetch_add(1, Ordering::AcqRel);
        Self(())
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        WAITED_ELSEWHERE.fetch_sub(1, Ordering::AcqRel);
    }
}

fn collect(whom: i32, root: i32) -> Option<Status> {
    loop {
        let mut encoded = 0;
        // SAFETY: waitpid(2) writes one int, to which the reference is valid. The libc function is used since nix knows
        // no status for a real-time signal and would lose it.
        let pid = unsafe { libc::waitpid(whom, &mut encoded, libc::WNOHANG) };
        if pid == 0 || pid < 0 && Errno::last() != Errno::EINTR {
            return None;
        }
        if pid == root {
            return Some(Status::decode(encoded));
        }
    }
}

/// Ends all children with SIGKILL, and those that they leave to us, until none is left or they refuse to go
/// ([`limits::KILL_PATIENCE`]).
pub fn end_all_children() {
    end_children_within(limits::KILL_PATIENCE);
}

/// The same for those that go within `patience`.
pub fn end_children_within(patience: Duration) {
    let deadline = Instant::now() + patience;
    let own = std::process::id().cast_signed();
    while Instant::now() < deadline {
        let children: Vec<i32> = Snapshot::take().children(own).map(|child| child.pid).collect();
        if children.is_empty() {
            return;
        }
        for child in children {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        collect(ANY_CHILD, NOBODY);
        thread::sleep(limits::REAP_PAUSE);
    }
}
