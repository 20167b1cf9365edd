//! Connects the sockets of a tree to those of other pods.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crik_store::generation::tree_facts::DatagramPeer;

use crate::tree::process::borrow::borrow;

/// Connects the sockets of a tree that is restored and does not run yet. One whose other side is not there is left unconnected.
pub fn attach(peers: &[DatagramPeer]) {
    for peer in peers {
        tell(&peer.path, borrow(peer.pid, peer.fd).and_then(|socket| connect(&socket.into(), &peer.path)));
    }
}

/// Says so if a socket could not be connected.
pub(super) fn tell(path: &Path, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(
            "the program's socket is left unconnected, which was connected to {}: {error}",
            path.display()
        );
    }
}

/// Connects a socket, unless the program has done it meanwhile.
pub(super) fn connect(socket: &UnixDatagram, path: &Path) -> io::Result<()> {
    if socket.peer_addr().is_ok() { Ok(()) } else { socket.connect(path) }
}

/// Dissolves a connection (unix(7) does not say it, connect(2) does: `AF_UNSPEC`). What was received and not read would be lost.
pub(super) fn disconnect(socket: &OwnedFd) -> io::Result<()> {
    let nobody = libc::sa_family_t::try_from(libc::AF_UNSPEC).map_err(io::Error::other)?;
    let length = size_of::<libc::sa_family_t>() as libc::socklen_t;
    // SAFETY: the kernel reads as many bytes as the length says, which are those of the family.
    let done = unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&nobody).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
