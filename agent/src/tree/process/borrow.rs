//! Takes a hold of another process (pidfd_open(2)), and a descriptor of it (pidfd_getfd(2)), for which SYS_PTRACE is enough.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::sys::signal::Signal;

/// The descriptor `fd` of process `pid`, which shares it with us from now on.
///
/// # Errors
/// There is none, or it is not for us.
pub fn borrow(pid: i32, fd: i32) -> io::Result<OwnedFd> {
    let process = process_fd(pid)?;
    // SAFETY: pidfd_getfd(2) takes three numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}

/// Stands for the process that has this id now, whoever has it later. It can be read when that has ended.
///
/// # Errors
/// There is none.
pub fn process_fd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal to it (pidfd_send_signal(2)).
///
/// # Errors
/// It has ended, or is not for us.
pub fn signal(process: &OwnedFd, signal: Signal) -> io::Result<()> {
    let no_details = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the kernel makes up the details itself where there are none.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal as i32, no_details, 0)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Both are close-on-exec.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: it was just opened, and nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
