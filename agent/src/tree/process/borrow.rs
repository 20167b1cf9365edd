//! Takes a descriptor of another process (pidfd_getfd(2)), for which SYS_PTRACE is enough.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// The descriptor `fd` of process `pid`, which shares it with us from now on.
///
/// # Errors
/// There is none, or it is not for us.
pub fn borrow(pid: i32, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: pidfd_getfd(2) takes three numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}

/// Both are close-on-exec.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: it was just opened, and nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
