//! The terminal of a container, of which the runtime's shim has the side at which somebody types and reads.

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Where runc hands that side over (runc's docs/terminals.md, "detached new terminal").
pub(super) struct Console {
    path: PathBuf,
    listener: UnixListener,
}

impl Console {
    /// One at this path.
    pub(super) fn listen(path: &Path) -> Result<Self> {
        Ok(Self { path: path.into(), listener: UnixListener::bind(path)? })
    }

    /// What runc is told.
    pub(super) fn option(&self) -> [PathBuf; 2] {
        ["--console-socket".into(), self.path.clone()]
    }

    /// The side that was handed over by a runc that has ended well.
    pub(super) fn accept(self) -> Result<File> {
        self.listener.set_nonblocking(true)?;
        let (connection, _) = self.listener.accept().context("runc has made no terminal")?;
        connection.set_nonblocking(false)?;
        let fd = receive(connection.as_raw_fd()).context("the terminal's other side")?;
        // SAFETY: it has just come, for us alone.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
}

/// A descriptor that comes with a message (unix(7), `SCM_RIGHTS`).
fn receive(socket: RawFd) -> Result<RawFd> {
    let (mut name, mut control) = ([0_u8; 256], [0_u64; 16]);
    let mut part = libc::iovec { iov_base: name.as_mut_ptr().cast(), iov_len: name.len() };
    // SAFETY: all that the message points to lives as long as it; the control message is looked at only if there is one.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        ensure!(
            libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) > 0,
            io::Error::last_os_error()
        );
        let first = libc::CMSG_FIRSTHDR(&raw const message);
        ensure!(!first.is_null() && (*first).cmsg_type == libc::SCM_RIGHTS, "no descriptor came");
        Ok(libc::CMSG_DATA(first).cast::<RawFd>().read_unaligned())
    }
}
