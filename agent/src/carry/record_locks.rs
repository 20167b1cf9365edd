//! Gives the processes of a restored tree back the record locks (fcntl(2)) that CRIU has lost.
//!
//! A process loses its locks of a file when it closes any descriptor of that, also one that has nothing to do with them. CRIU (4.2)
//! sets the locks, then maps the process's files, and then closes the descriptors by which it did. So whoever has locked and mapped one
//! file comes back without its locks, and says nothing: two processes that write to one SQLite database with a write-ahead log, as an
//! example, overwrite each other's transactions. Here each is made to lock again, before any of them runs.

use std::fs;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::tree::criu::images::{self, RecordLock};
use crate::tree::process::tracee;

/// Sets the locks of the images in `directory` that their processes do not hold. Those stand still, restored, and nobody traces them.
///
/// # Errors
/// A lock cannot be set, as of a file that another pod has locked since: the tree must not run.
pub fn hold_again(directory: &Path) -> io::Result<()> {
    for lock in images::record_locks(directory).map_err(io::Error::other)? {
        if !is_held(&lock)? {
            set(&lock).map_err(|error| told(&lock, &error))?;
        }
    }
    Ok(())
}

fn told(lock: &RecordLock, error: &io::Error) -> io::Error {
    let file = fs::read_link(format!("/proc/{}/fd/{}", lock.pid, lock.fd)).unwrap_or_default();
    let why = match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => "somebody else has locked it since",
        _ => &error.to_string(),
    };
    io::Error::other(format!("process {} had locked a part of {}: {why}", lock.pid, file.display()))
}

fn is_held(lock: &RecordLock) -> io::Result<bool> {
    let told = fs::read_to_string(format!("/proc/{}/fdinfo/{}", lock.pid, lock.fd))?;
    Ok(told.lines().any(|line| is(line, lock)))
}

/// Whether a line of `/proc/PID/fdinfo/FD` tells of this lock (proc_pid_fdinfo(5)):
/// `lock: 1: POSIX ADVISORY WRITE 359 00:13:11691 0 EOF`.
fn is(line: &str, lock: &RecordLock) -> bool {
    let kind = if lock.kind == libc::F_WRLCK as u32 { "WRITE" } else { "READ" };
    let end = match lock.length {
        0 => "EOF".to_owned(),
        length => lock.start.saturating_add(length - 1).to_string(),
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], ["lock:", _, "POSIX", _, said, _, _, start, last]
        if said == kind && start == lock.start.to_string() && last == end)
}

fn set(lock: &RecordLock) -> io::Result<()> {
    let thread = Pid::from_raw(lock.pid);
    ptrace::seize(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
    let outcome = ptrace::interrupt(thread).map_err(io::Error::from).and_then(|()| {
        tracee::next_stop(thread)?;
        have_it_set(thread, lock)
    });
    ptrace::detach(thread, None)?;
    outcome
}

/// What its stack held there before, it holds again.
fn have_it_set(thread: Pid, lock: &RecordLock) -> io::Result<()> {
    let wish = as_the_kernel_reads_it(lock);
    let at = tracee::room_on_stack(thread, wish.len())?;
    let memory = tracee::memory(thread)?;
    let mut before = [0; size_of::<libc::flock>()];
    memory.read_exact_at(&mut before, at)?;
    memory.write_all_at(&wish, at)?;
    let command = [lock.fd as u64, libc::F_SETLK as u64, at, 0, 0];
    let outcome = tracee::call(thread, libc::SYS_fcntl, command);
    memory.write_all_at(&before, at)?;
    outcome.map(drop)
}

/// Its `whence` is 0: from the beginning of the file.
fn as_the_kernel_reads_it(lock: &RecordLock) -> [u8; size_of::<libc::flock>()] {
    let mut bytes = [0; size_of::<libc::flock>()];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(offset_of!(libc::flock, l_type), &(lock.kind as i16).to_ne_bytes());
    put(offset_of!(libc::flock, l_start), &lock.start.to_ne_bytes());
    put(offset_of!(libc::flock, l_len), &lock.length.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(kind: i32, start: i64, length: i64) -> RecordLock {
        RecordLock { kind: kind as u32, start, length, ..RecordLock::default() }
    }

    #[test]
    fn a_lock_is_known_by_its_kind_and_its_bytes() {
        let of = |what: &str| format!("lock:\t1: POSIX  ADVISORY  {what}");
        let (some, all) = (lock(libc::F_WRLCK, 120, 2), lock(libc::F_RDLCK, 0, 0));
        assert!(is(&of("WRITE 7 00:2f:4 120 121"), &some) && is(&of("READ 7 00:2f:4 0 EOF"), &all));
        for other in ["READ 7 00:2f:4 120 121", "WRITE 7 00:2f:4 120 122", "WRITE 7 00:2f:4 121 121"] {
            assert!(!is(&of(other), &some), "{other}");
        }
        assert!(!is("lock:\t1: FLOCK  ADVISORY  WRITE 7 00:2f:4 120 121", &some) && !is("flags:\t02", &some));
    }
}
