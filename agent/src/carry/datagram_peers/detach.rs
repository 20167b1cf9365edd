//! Dissolves what leads out of the pod for as long as CRIU looks, and makes it again.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;

use crik_store::generation::tree_facts::DatagramPeer;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::attach::{connect, disconnect, tell};
use super::find::path_to;
use crate::carry::files::mounts::Mounts;
use crate::tree::process::borrow::borrow;
use crate::tree::process::snapshot::Tree;
use crate::tree::process::unix_sockets::{self, UnixSockets};

/// Sockets of a frozen tree whose connections are dissolved. When this is dropped, they are connected again: a tree that goes on, or
/// that was not dumped, has lost nothing.
#[derive(Default)]
pub struct Detached(Vec<(UnixDatagram, DatagramPeer)>);

impl Detached {
    /// Dissolves the connections of `tree`, which is frozen, to datagram sockets of other pods. What cannot be is told, and is for CRIU
    /// to refuse.
    pub fn of(tree: &Tree) -> Self {
        let mut detached = Self::default();
        if let Err(error) = detached.add_all(tree) {
            tracing::warn!("connections to sockets of other pods cannot be found: {error}");
        }
        detached
    }

    fn add_all(&mut self, tree: &Tree) -> io::Result<()> {
        let sockets = UnixSockets::open()?;
        let far = far(&sockets)?;
        if far.is_empty() {
            return Ok(());
        }
        let mounts = Mounts::read()?;
        for (inode, (pid, fd)) in unix_sockets::holders(tree, |inode| far.contains_key(&inode)) {
            let Some(peer) = far.get(&inode) else { continue };
            match detach((pid, fd), *peer, &sockets, &mounts) {
                Ok(one) => self.0.push(one),
                Err(error) => {
                    tracing::warn!("process {pid} is connected to a socket of another pod: {error}")
                }
            }
        }
        Ok(())
    }

    /// What a restore needs to connect them again.
    pub fn facts(&self) -> Vec<DatagramPeer> {
        self.0.iter().map(|(_, peer)| peer.clone()).collect()
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.iter().for_each(|(socket, peer)| tell(&peer.path, connect(socket, &peer.path)));
    }
}

/// The datagram sockets that are connected to one that is not in this network namespace, each with that.
fn far(sockets: &UnixSockets) -> io::Result<BTreeMap<u32, u32>> {
    let mut far = BTreeMap::new();
    for inode in unix_sockets::datagram()? {
        if let Some(peer) = sockets.peer(inode)?.filter(|peer| *peer != 0)
            && sockets.peer(peer)?.is_none()
        {
            far.insert(inode, peer);
        }
    }
    Ok(far)
}

fn detach(
    (pid, fd): (i32, i32),
    peer: u32,
    sockets: &UnixSockets,
    mounts: &Mounts,
) -> io::Result<(UnixDatagram, DatagramPeer)> {
    let borrowed = borrow(pid, fd)?;
    if has_unread(&borrowed) {
        // The kernel would throw it away.
        return Err(io::Error::other("it has not read all that it has received from it"));
    }
    let socket = UnixDatagram::from(borrowed.try_clone()?);
    let bound = socket.peer_addr()?.as_pathname().map(ToOwned::to_owned);
    let unreachable = || {
        let name = bound.as_ref().map_or_else(|| "without a name".into(), |path| path.display().to_string());
        io::Error::other(format!("{name}, to which no path of this container leads"))
    };
    let path =
        bound.as_ref().and_then(|bound| path_to(peer, bound, sockets, mounts)).ok_or_else(unreachable)?;
    disconnect(&borrowed)?;
    Ok((socket, DatagramPeer { pid, fd, path }))
}

/// A datagram may be empty.
fn has_unread(socket: &OwnedFd) -> bool {
    let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(socket.as_raw_fd(), &mut [0], look) != Err(Errno::EAGAIN)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    /// A socket of this process that is connected to one with a name.
    fn connected(dir: &std::path::Path) -> io::Result<(UnixDatagram, UnixDatagram)> {
        let agent = UnixDatagram::bind(dir.join("in.sock"))?;
        let socket = UnixDatagram::unbound()?;
        socket.connect(dir.join("in.sock"))?;
        Ok((socket, agent))
    }

    fn detached(socket: &UnixDatagram) -> io::Result<(UnixDatagram, DatagramPeer)> {
        let sockets = UnixSockets::open()?;
        let peer = sockets.peer(unix_sockets::inode(socket.as_raw_fd())?)?.unwrap_or_default();
        let holder = (process::id().cast_signed(), socket.as_raw_fd());
        detach(holder, peer, &sockets, &Mounts::read()?)
    }

    #[test]
    fn a_connection_is_gone_while_it_is_dissolved_and_there_again_afterwards() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (socket, agent) = connected(dir.path())?;
        let detached = Detached(vec![detached(&socket)?]);
        assert!(socket.peer_addr().is_err() && socket.send(b"lost").is_err());
        assert_eq!(detached.facts()[0].path, dir.path().join("in.sock"));
        drop(detached);
        socket.send(b"heard")?;
        let mut heard = [0; 8];
        let length = agent.recv(&mut heard)?;
        assert_eq!(&heard[..length], b"heard");
        Ok(())
    }

    #[test]
    fn what_was_not_read_is_not_thrown_away() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (socket, agent) = connected(dir.path())?;
        let address = dir.path().join("own.sock");
        let named = UnixDatagram::bind(&address)?;
        named.connect(dir.path().join("in.sock"))?;
        agent.send_to(b"answer", &address)?;
        assert!(detached(&named).unwrap_err().to_string().contains("has not read"));
        assert!(detached(&socket).is_ok());
        let mut heard = [0; 8];
        let length = named.recv(&mut heard)?;
        assert_eq!(&heard[..length], b"answer");
        Ok(())
    }
}
