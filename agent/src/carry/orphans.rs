//! Keeps orphaned processes in the tree over a restore.
//!
//! A daemon or any other orphan was adopted by the tree's root, a child subreaper. To give it its session back CRIU
//! (4.2, `prepare_pstree_ids`) makes a helper in that session, lets the helper fork the orphan, and ends the helper; but
//! CRIU sets the root's subreaper flag only later, so the kernel would hand the orphan to PID 1: the next dump would
//! leave it behind, and CRIU itself waits for ever if the orphan was a zombie. Here the flag is set at the root's birth: CRIU is traced from before it
//! forks, the kernel stops the newborn root before its first instruction (`PTRACE_O_TRACECLONE`, ptrace(2)), and the
//! root is made to call prctl(2) once. Then both are let go, before CRIU wants to trace the root itself.

use std::io;
use std::sync::mpsc;
use std::thread;

use nix::unistd::Pid;

use crate::tree::criu;
use crate::tree::process::tracee;

/// Starts to trace CRIU, which is paused before its first fork, from a thread of its own. When this returns, the tree's
/// root will be born a subreaper.
///
/// # Errors
/// CRIU cannot be traced.
pub fn watch_for_root(root: i32) -> io::Result<()> {
    let criu = criu::child_pid().ok_or_else(|| io::Error::other("criu is not running"))?;
    let (attached, outcome) = mpsc::channel();
    // ptrace(2) ties a tracee to the thread that attached, and the calling thread has to answer CRIU.
    thread::spawn(move || match ptrace::seize_with_children(criu) {
        Err(error) => drop(attached.send(Err(error))),
        Ok(()) => {
            let _ = attached.send(Ok(()));
            if let Err(error) = ptrace::until_born(criu, root) {
                tracing::warn!("orphans of the tree may slip out of it: {error}");
            }
        }
    });
    outcome.recv().unwrap_or_else(|_| Err(io::Error::other("the tracing thread panicked")))
}

/// True where [`watch_for_root`] works. Nobody has tried this on other architectures; a tree that needs it is not dumped there.
pub const SUPPORTED: bool = cfg!(target_arch = "x86_64");

/// Has a tracee adopt the orphans below it (prctl(2)).
fn make_subreaper(pid: Pid) -> io::Result<()> {
    let set = libc::PR_SET_CHILD_SUBREAPER as u64;
    tracee::call(pid, libc::SYS_prctl, [set, 1, 0, 0, 0]).map(drop)
}

mod ptrace {
    use std::io;

    use nix::sys::ptrace::{self, Options};
    use nix::sys::wait::WaitStatus;
    use nix::unistd::Pid;

    use crate::tree::process::tracee::next_stop;

    pub fn seize_with_children(criu: i32) -> io::Result<()> {
        let births =
            Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        // The newborn inherits it.
        Ok(ptrace::seize(Pid::from_raw(criu), births | Options::PTRACE_O_TRACESYSGOOD)?)
    }

    /// Follows CRIU until `root` is born and a subreaper, then lets go of both.
    pub fn until_born(criu: i32, root: i32) -> io::Result<()> {
        let criu = Pid::from_raw(criu);
        let mut done = false;
        loop {
            match next_stop(criu)? {
                WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_STOP) => resume(criu)?,
                WaitStatus::PtraceEvent(_, signal, 0) => ptrace::cont(criu, signal)?,
                WaitStatus::PtraceEvent(..) => {
                    let child = Pid::from_raw(ptrace::getevent(criu)? as libc::pid_t);
                    let outcome = newborn(child, root);
                    done = done || child.as_raw() == root;
                    // Whatever became of it, CRIU must not be left standing.
                    if done {
                        ptrace::detach(criu, None)?
                    } else {
                        resume(criu)?
                    }
                    outcome?;
                    if done {
                        return Ok(());
                    }
                }
                _ => return Err(io::Error::other("criu ended before the tree was there")),
            }
        }
    }

    fn newborn(child: Pid, root: i32) -> io::Result<()> {
        next_stop(child)?;
        let outcome = if child.as_raw() == root { super::make_subreaper(child) } else { Ok(()) };
        ptrace::detach(child, None)?;
        outcome
    }

    fn resume(pid: Pid) -> io::Result<()> {
        Ok(ptrace::cont(pid, None)?)
    }
}
