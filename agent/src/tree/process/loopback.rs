//! Connections both of whose ends a tree has, over loopback or by an address of the pod's own: those that can go on in another pod.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use libc::{
    IPPROTO_TCP, SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_GET_FILTER, SO_REUSEADDR, SOL_SOCKET, TCP_REPAIR,
    sock_filter, sock_fprog, socklen_t,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::borrow::borrow;
use super::snapshot::{Tree, told};
use super::sockets::{self, Tcp};
use super::unix_sockets;

/// One end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The inode of its socket.
    pub inode: u32,
    /// A process that has it.
    pub pid: i32,
    /// Its own address.
    pub local: SocketAddr,
    /// That of the other end.
    pub peer: SocketAddr,
}

/// All ends of such connections, two of each.
#[must_use]
pub fn within(tree: &Tree) -> Vec<End> {
    let all = connected(tree);
    let both: BTreeSet<_> = all.iter().map(|(end, _)| (end.local, end.peer)).collect();
    let is_within = |end: &End| both.contains(&(end.peer, end.local));
    all.into_iter().map(|(end, _)| end).filter(is_within).collect()
}

/// What is to be said of such connections that a checkpoint closes: how many, and one of them.
#[must_use]
pub fn told_of(ends: &[End]) -> Option<String> {
    let first = ends.first()?;
    Some(format!(
        "TCP connections within the program ({}, such as {} to {} of process {})",
        ends.len().div_ceil(2),
        first.local,
        first.peer,
        told(first.pid)
    ))
}

/// Those that are connected, with the descriptor by which they can be reached.
fn connected(tree: &Tree) -> Vec<(End, i32)> {
    let Some(first) = tree.0.first() else { return Vec::new() };
    let table = sockets::tcp(first.pid);
    let held = unix_sockets::holders(tree, |inode| table.get(&inode).is_some_and(|tcp| tcp.peer.is_some()));
    let of = |(inode, (pid, fd)): (u32, (i32, i32))| {
        let Tcp { local, peer } = *table.get(&inode)?;
        Some((End { inode, pid, local, peer: peer? }, fd))
    };
    held.into_iter().filter_map(of).collect()
}

/// Whether connections can be taken apart and put together here: tried, since a capability counts where the network belongs to its
/// user namespace only (tcp(7), `TCP_REPAIR`).
#[must_use]
pub fn is_possible() -> bool {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
        .is_ok_and(|socket| set(&socket, IPPROTO_TCP, TCP_REPAIR, 1).is_ok())
}

/// Whether the end of what one side has to say can be told to a connection that is put together, for which CRIU sends a packet of its own
/// making (soccr/soccr.c, `send_fin`).
#[must_use]
pub fn can_be_half_closed() -> bool {
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW))).is_ok()
}

/// What sockets were told of their address before CRIU looked at them, which is lost by that (`SO_REUSEADDR`; net/ipv4/tcp.c).
#[derive(Debug, Default)]
pub struct BeforeRepair(BTreeMap<u32, i32>);

impl BeforeRepair {
    /// For a tree that is frozen.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let reuse = |(end, fd): (End, i32)| {
            let socket = Socket::from(borrow(end.pid, fd).ok()?);
            Some((end.inode, get(&socket, SOL_SOCKET, SO_REUSEADDR).ok()?))
        };
        Self(connected(tree).into_iter().filter_map(reuse).collect())
    }

    /// Lets the connections of a tree go on that a CRIU which has ended has left as it had them, and with it those who are connected to
    /// the tree: the end of one that is left so is not told to its other side.
    pub fn end(&self, tree: &Tree) {
        for (end, fd) in connected(tree) {
            if let Err(error) = self.end_one(&end, fd) {
                tracing::warn!(
                    step = "freeze",
                    "the connection {} to {} may hang: {error}",
                    end.local,
                    end.peer
                );
            }
        }
    }

    fn end_one(&self, end: &End, fd: i32) -> io::Result<()> {
        let socket = Socket::from(borrow(end.pid, fd)?);
        if get(&socket, IPPROTO_TCP, TCP_REPAIR)? == 0 {
            return Ok(());
        }
        set(&socket, IPPROTO_TCP, TCP_REPAIR, 0)?;
        let reuse = self.0.get(&end.inode).copied().unwrap_or(0);
        set(&socket, SOL_SOCKET, SO_REUSEADDR, reuse)
    }
}

/// Connections within a frozen tree over which nothing goes until this is dropped. The kernel sends again what was not acknowledged, also for
/// programs that are frozen, and CRIU looks at one end after the other. CRIU's own lock is one on the network of the whole pod, and stays if
/// CRIU is ended.
#[derive(Debug, Default)]
pub struct Quiet(Vec<(u32, i32, i32)>);

impl Quiet {
    /// Has both ends of each take nothing in. One that has a filter of its program's keeps that.
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let within: BTreeSet<u32> = within(tree).iter().map(|end| end.inode).collect();
        let ends = connected(tree).into_iter().filter(|(end, _)| within.contains(&end.inode));
        let is_shut =
            |&(_, pid, fd): &(u32, i32, i32)| borrow(pid, fd).and_then(|fd| shut(&Socket::from(fd))).is_ok();
        Self(ends.map(|(end, fd)| (end.inode, end.pid, fd)).filter(is_shut).collect())
    }

    /// The inodes of their sockets.
    #[must_use]
    pub fn inodes(&self) -> BTreeSet<u32> {
        self.0.iter().map(|(inode, ..)| *inode).collect()
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        for (_, pid, fd) in std::mem::take(&mut self.0) {
            // Who has ended or closed it meanwhile needs it no more.
            let _ = borrow(pid, fd).and_then(|fd| set(&Socket::from(fd), SOL_SOCKET, SO_DETACH_FILTER, 0));
        }
    }
}

/// A program of one instruction, which takes in no byte of any packet (socket(7), `SO_ATTACH_FILTER`).
fn shut(socket: &Socket) -> io::Result<()> {
    if !filter(socket)?.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let mut nothing = sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 };
    set(socket, SOL_SOCKET, SO_ATTACH_FILTER, sock_fprog { len: 1, filter: &raw mut nothing })
}

/// Lets the connections of a tree that is restored, and does not run yet, take in what comes: CRIU has put them together deaf, so that none is
/// reset by what comes before its other end is there (`preload/deaf.rs`).
///
/// # Errors
/// One stays deaf, and would stand still.
pub fn let_hear(tree: &Tree) -> io::Result<()> {
    for (end, fd) in connected(tree) {
        let socket = Socket::from(borrow(end.pid, fd)?);
        if filter(&socket)? == DEAF {
            set(&socket, SOL_SOCKET, SO_DETACH_FILTER, 0)?;
        }
    }
    Ok(())
}

/// What `preload/deaf.rs` puts on them: takes in what has CRIU's mark, and nothing else.
const DEAF: [(u16, u8, u8, u32); 4] =
    [(0x20, 0, 0, 0xffff_f014), (0x15, 0, 1, 0xc114), (RETURN, 0, 0, u32::MAX), (RETURN, 0, 0, 0)];

/// The instructions of a socket's filter; none if it has no filter.
fn filter(socket: &Socket) -> io::Result<Vec<(u16, u8, u8, u32)>> {
    let read = |into: *mut sock_filter, mut count: socklen_t| {
        // SAFETY: getsockopt(2) writes as many instructions as there is room for; without any it tells how many there are.
        let done = unsafe {
            libc::getsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_GET_FILTER, into.cast(), &raw mut count)
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
    };
    let nothing = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
    let mut all = vec![nothing; read(std::ptr::null_mut(), 0)?];
    if !all.is_empty() {
        read(all.as_mut_ptr(), all.len() as socklen_t)?;
    }
    Ok(all.iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect())
}

/// `BPF_RET | BPF_K` of linux/bpf_common.h.
const RETURN: u16 = 6;

fn set<T>(socket: &Socket, level: i32, option: i32, value: T) -> io::Result<()> {
    let (at, bytes) = ((&raw const value).cast(), size_of::<T>() as socklen_t);
    // SAFETY: setsockopt(2) reads what the option is made of.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, at, bytes) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn get(socket: &Socket, level: i32, option: i32) -> io::Result<i32> {
    let (mut value, mut bytes) = (0_i32, size_of::<i32>() as socklen_t);
    let at = (&raw mut value).cast();
    // SAFETY: getsockopt(2) writes a number.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, at, &raw mut bytes) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::super::snapshot;
    use super::*;

    #[test]
    fn who_was_deaf_hears_again() {
        let own = Tree(snapshot::read(std::process::id().cast_signed()).into_iter().collect());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let (socket, mut program) = (
            Socket::from(client.try_clone().unwrap()),
            DEAF.map(|(code, jt, jf, k)| sock_filter { code, jt, jf, k }),
        );
        let deaf = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        set(&socket, SOL_SOCKET, SO_ATTACH_FILTER, deaf).unwrap();
        accepted.write_all(b"heard").unwrap();
        client.set_nonblocking(true).unwrap();
        let mut heard = [0; 5];
        assert_eq!((&client).read(&mut heard).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let_hear(&own).unwrap();
        client.set_nonblocking(false).unwrap();
        (&client).read_exact(&mut heard).unwrap();
        assert!(heard == *b"heard" && filter(&socket).unwrap().is_empty());
    }

    #[test]
    fn a_connection_is_within_as_long_as_the_tree_has_both_of_its_ends() {
        let own = Tree(snapshot::read(std::process::id().cast_signed()).into_iter().collect());
        for name in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(name).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let address = client.local_addr().unwrap();
            let has =
                || within(&own).into_iter().filter(|end| [end.local, end.peer].contains(&address)).count();
            // Nobody has accepted it yet.
            assert_eq!(has(), 0);
            let accepted = listener.accept().unwrap();
            assert_eq!(has(), 2);
            drop(accepted);
            assert_eq!(has(), 0);
        }
    }
}
