//! Waits for the sockets of others to which a tree was connected.
//!
//! On a fresh node the agent that binds them may come up after the pod. It is waited for; if it does not come, the program's socket is
//! left unconnected, and its next send fails (ENOTCONN) as it does when such an agent goes away (unix(7)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crik_store::generation::tree_facts::DatagramPeer;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::tree::criu::images::{Damage, FilesImage, Unix};

/// A socket that is waited for.
struct Awaited {
    name: String,
    /// What cannot be told is for CRIU to find out.
    address: Option<SocketAddr>,
    /// Its number in the image, if it is one that CRIU connects to.
    inode: Option<u32>,
}

/// Waits for the sockets that the tree was connected to, at most for `limit` and until it is given up, and leaves
/// unconnected what was connected to one that does not come. Of those of other pods, `far`, that is told when they are connected.
///
/// # Errors
/// What is wrong with the image.
pub fn wait_for(
    files: &mut FilesImage,
    far: &[DatagramPeer],
    limit: Duration,
    headway: &Headway,
) -> Result<(), Damage> {
    let near = peers(&files.unix_sockets()?);
    let mut away: Vec<Awaited> = near.iter().map(Awaited::near).chain(far.iter().map(Awaited::far)).collect();
    let until = Instant::now() + limit;
    away.retain(|peer| !peer.is_there());
    if away.is_empty() {
        return Ok(());
    }
    tracing::info!("waiting for {}, to which the program is connected", names(&away));
    while !away.is_empty() && Instant::now() < until && headway.wait_on().is_ok() {
        sleep(limits::PEER_POLL);
        away.retain(|peer| !peer.is_there());
    }
    away.retain(|peer| peer.inode.is_some());
    if !away.is_empty() {
        tracing::warn!(
            "{} did not come within {limit:?} (volumeTimeout); the program's socket is left unconnected",
            names(&away)
        );
    }
    files.disconnect(&away.iter().filter_map(|peer| peer.inode).collect::<Vec<_>>())
}

/// Those outside the tree to which one inside is connected.
fn peers(sockets: &[Unix]) -> Vec<Unix> {
    let is_wanted = |peer: &&Unix| sockets.iter().any(|socket| socket.peer == peer.inode);
    sockets.iter().filter(|socket| socket.is_datagram_peer_outside()).filter(is_wanted).cloned().collect()
}

impl Awaited {
    fn near(peer: &Unix) -> Self {
        Self { name: name(peer), address: address(peer).ok(), inode: Some(peer.inode) }
    }

    fn far(peer: &DatagramPeer) -> Self {
        let address = SocketAddr::from_pathname(&peer.path).ok();
        Self { name: peer.path.display().to_string(), address, inode: None }
    }

    /// Whether somebody takes what is sent there.
    fn is_there(&self) -> bool {
        let connect = |address| UnixDatagram::unbound()?.connect_addr(address);
        let away = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        !self
            .address
            .as_ref()
            .is_some_and(|address| connect(address).is_err_and(|error| away.contains(&error.kind())))
    }
}

fn address(peer: &Unix) -> io::Result<SocketAddr> {
    match peer.name.split_first() {
        Some((0, name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path(peer)),
    }
}

fn path(peer: &Unix) -> std::path::PathBuf {
    let path = |bytes: &[u8]| Path::new(OsStr::from_bytes(bytes)).to_owned();
    let name = peer.name.split(|byte| *byte == 0).next().unwrap_or_default();
    path(peer.directory.as_deref().unwrap_or_default()).join(path(name))
}

fn name(peer: &Unix) -> String {
    match peer.name.split_first() {
        // As ss tells it.
        Some((0, name)) => format!("@{}", String::from_utf8_lossy(name)),
        _ => path(peer).display().to_string(),
    }
}

fn names(peers: &[Awaited]) -> String {
    peers.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(inode: u32, name: &Path) -> Unix {
        let name = [name.as_os_str().as_bytes(), b"\0"].concat();
        Unix { inode, kind: libc::SOCK_DGRAM.cast_unsigned(), notes: 1, name, ..Unix::default() }
    }

    #[test]
    fn a_socket_is_there_once_somebody_has_bound_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        let far = DatagramPeer { pid: 301, fd: 3, path: path.clone() };
        let are_there = || [Awaited::near(&peer(5, &path)).is_there(), Awaited::far(&far).is_there()];
        assert_eq!(are_there(), [false; 2]);
        let bound = UnixDatagram::bind(&path).unwrap();
        assert_eq!(are_there(), [true; 2]);
        drop(bound);
        assert_eq!(are_there(), [false; 2], "its file is there, and nobody listens");
    }

    #[test]
    fn only_what_is_connected_and_outside_counts() {
        let sockets = [
            peer(5, Path::new("/a")),
            peer(6, Path::new("/nobody-is-connected")),
            Unix { notes: 0, ..peer(7, Path::new("/inside")) },
            Unix { inode: 8, peer: 5, ..Unix::default() },
            Unix { inode: 9, peer: 7, ..Unix::default() },
        ];
        assert_eq!(peers(&sockets).iter().map(|peer| peer.inode).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_name_may_be_relative_to_a_directory() {
        let mut relative = peer(5, Path::new("agent.sock"));
        relative.directory = Some(b"/run/agent".to_vec());
        assert_eq!(path(&relative), Path::new("/run/agent/agent.sock"));
    }
}
