//! Gives the processes of a restored tree their locks of files back. CRIU (4.2) would do it in two ways that lose work:
//!
//! - A process loses its record locks (fcntl(2)) of a file when it closes any descriptor of that, also one that has nothing to do with
//!   them. CRIU sets the locks, then maps the process's files, and then closes the descriptors by which it did. So whoever has locked and
//!   mapped one file comes back without its locks, and says nothing: two processes that write to one SQLite database with a write-ahead
//!   log, as an example, overwrite each other's transactions.
//! - Where somebody else has locked a file since, CRIU waits for ever.
//!
//! So they are left out of the images that it is given, and set when all processes are there and none runs.

use std::fs;
use std::io;
use std::mem::offset_of;
use std::os::fd::AsRawFd as _;

use crate::tree::criu::images::{FileLock, FileLocks};
use crate::tree::process::borrow::borrow;
use crate::tree::process::tracee;

/// Sets the locks of a tree that stands still, restored, and that nobody traces.
///
/// # Errors
/// A lock cannot be set, as of a file that another pod has locked since: the tree must not run.
pub fn set(locks: &FileLocks) -> io::Result<()> {
    let of_files = locks.of_files.iter().map(|lock| (lock, set_of_file(lock)));
    let mut all = of_files.chain(locks.of_records.iter().map(|lock| (lock, set_of_record(lock))));
    all.try_for_each(|(lock, outcome)| outcome.map_err(|error| told(lock, &error)))
}

fn told(lock: &FileLock, error: &io::Error) -> io::Error {
    let file = fs::read_link(format!("/proc/{}/fd/{}", lock.pid, lock.fd)).unwrap_or_default();
    let why = match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => {
            "somebody else has locked it since; end who has, or let it unlock the file"
        }
        _ => &error.to_string(),
    };
    io::Error::other(format!(
        "process {} had locked {}, and cannot any more: {why}",
        lock.pid,
        file.display()
    ))
}

/// It is that of the open file, and so we can set it as well.
fn set_of_file(lock: &FileLock) -> io::Result<()> {
    let file = borrow(lock.pid, lock.fd)?;
    let kind = match lock.kind as i32 {
        libc::F_RDLCK => libc::LOCK_SH,
        libc::F_WRLCK => libc::LOCK_EX,
        _ => return Ok(()),
    };
    // SAFETY: flock(2) takes two numbers.
    let done = unsafe { libc::flock(file.as_raw_fd(), kind | libc::LOCK_NB) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// It is that of the process, which has to do it itself.
fn set_of_record(lock: &FileLock) -> io::Result<()> {
    let command = [lock.fd as u64, libc::F_SETLK as u64];
    tracee::while_stopped(lock.pid, |thread| {
        tracee::call_with(thread, libc::SYS_fcntl, command, &as_the_kernel_reads_it(lock)).map(drop)
    })
}

/// Its `whence` is 0: from the beginning of the file.
fn as_the_kernel_reads_it(lock: &FileLock) -> [u8; size_of::<libc::flock>()] {
    let mut bytes = [0; size_of::<libc::flock>()];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(offset_of!(libc::flock, l_type), &(lock.kind as i16).to_ne_bytes());
    put(offset_of!(libc::flock, l_start), &lock.start.to_ne_bytes());
    put(offset_of!(libc::flock, l_len), &lock.length.to_ne_bytes());
    bytes
}
