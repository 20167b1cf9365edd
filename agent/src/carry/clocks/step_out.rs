//! Has the threads of a stopped process leave a few instructions that are about to be overwritten.

use std::fs;
use std::io;
use std::ops::Range;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::limits::STEPS_MAX;

/// Steps each thread on until it is outside of `range`. The process stays stopped.
///
/// # Errors
/// A thread cannot be traced, or does not leave.
pub fn of(pid: i32, range: Range<u64>) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = entry?.file_name();
        let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // As of a stopped thread; where it stands cannot change.
        let state = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall"))?;
        if program_counter(&state).is_some_and(|at| range.contains(&at)) {
            step(Pid::from_raw(thread), &range)?;
        }
    }
    Ok(())
}

/// The last of what `/proc/PID/syscall` tells (proc(5)).
fn program_counter(state: &str) -> Option<u64> {
    u64::from_str_radix(state.split_whitespace().last()?.strip_prefix("0x")?, 16).ok()
}

fn step(thread: Pid, range: &Range<u64>) -> io::Result<()> {
    ptrace::seize(thread, ptrace::Options::empty())?;
    let stepped = leave(thread, range);
    ptrace::detach(thread, None)?;
    stepped
}

fn leave(thread: Pid, range: &Range<u64>) -> io::Result<()> {
    ptrace::interrupt(thread)?;
    wait(thread)?;
    for _ in 0..STEPS_MAX {
        let registers = ptrace::getregs(thread)?;
        #[cfg(target_arch = "x86_64")]
        let at = registers.rip;
        #[cfg(target_arch = "aarch64")]
        let at = registers.pc;
        if !range.contains(&at) {
            return Ok(());
        }
        ptrace::step(thread, None)?;
        wait(thread)?;
    }
    Err(io::Error::other(format!("thread {thread} does not leave the vDSO")))
}

fn wait(thread: Pid) -> io::Result<()> {
    loop {
        match waitpid(thread, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop).map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_counter_stands_last() {
        assert_eq!(program_counter("-1 0x7ffd0 0x7f00af1\n"), Some(0x7f0_0af1));
        assert_eq!(program_counter("35 0x1 0x2 0x0 0x0 0x0 0x0 0x7ffd0 0x7f\n"), Some(0x7f));
        assert_eq!(program_counter("running\n"), None);
    }
}
