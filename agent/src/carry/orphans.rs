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

#[cfg(target_arch = "x86_64")]
pub use x86_64::make_subreaper;

use crate::tree::criu;

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

/// True where [`watch_for_root`] works.
pub const SUPPORTED: bool = cfg!(target_arch = "x86_64");

/// Nobody has tried this on other architectures; a tree that needs it is not dumped there ([`SUPPORTED`]).
#[cfg(not(target_arch = "x86_64"))]
pub fn make_subreaper(_: nix::unistd::Pid) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

mod ptrace {
    use std::io;

    use nix::errno::Errno;
    use nix::sys::ptrace::{self, Options};
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    use nix::unistd::Pid;

    pub fn seize_with_children(criu: i32) -> io::Result<()> {
        let births =
            Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
        Ok(ptrace::seize(Pid::from_raw(criu), births)?)
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

    /// Waits for a tracee's next stop. Its end is only seen and left to whoever waits for it. A stop for a signal is an event of the
    /// number 0 (waitid(2), `CLD_TRAPPED`).
    pub fn next_stop(pid: Pid) -> io::Result<WaitStatus> {
        let stops = WaitPidFlag::WSTOPPED | WaitPidFlag::__WALL;
        loop {
            match waitid(Id::Pid(pid), stops | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Err(Errno::EINTR) => continue,
                Ok(ended @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => return Ok(ended),
                seen => seen?,
            };
            // It may be killed in between, and then there is no stop any more.
            match waitid(Id::Pid(pid), stops | WaitPidFlag::WNOHANG) {
                Err(Errno::EINTR) | Ok(WaitStatus::StillAlive) => {}
                taken => return Ok(taken?),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::io;

    use nix::sys::ptrace;
    use nix::unistd::Pid;

    use super::ptrace::next_stop;

    /// The `syscall` instruction, as a little-endian word.
    const SYSCALL: i64 = 0x050f;

    /// Makes a tracee that stands right behind a system call do one more: prctl(PR_SET_CHILD_SUBREAPER, 1).
    pub fn make_subreaper(pid: Pid) -> io::Result<()> {
        let before = ptrace::getregs(pid)?;
        let instruction = before.rip - SYSCALL_BYTES;
        if ptrace::read(pid, instruction as ptrace::AddressType)? & 0xffff != SYSCALL {
            return Err(io::Error::other("the root does not stand behind a system call"));
        }
        let mut call = before;
        call.rip = instruction;
        call.rax = libc::SYS_prctl.cast_unsigned();
        // Not inside a system call, as far as the kernel's restart logic is concerned.
        call.orig_rax = u64::MAX;
        (call.rdi, call.rsi, call.rdx, call.r10, call.r8) = (36, 1, 0, 0, 0);
        ptrace::setregs(pid, call)?;
        ptrace::step(pid, None)?;
        next_stop(pid)?;
        let result = ptrace::getregs(pid)?.rax.cast_signed();
        ptrace::setregs(pid, before)?;
        if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result as i32)) }
    }

    const SYSCALL_BYTES: u64 = 2;
}
