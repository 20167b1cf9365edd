//! The UNIX sockets of this network namespace, as the kernel tells of them (sock_diag(7), proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{BorrowedFd, RawFd};

use nix::sys::stat::fstat;
use socket2::{Domain, Protocol, Socket, Type};

use super::snapshot::Tree;

/// NETLINK_SOCK_DIAG of linux/netlink.h.
const SOCK_DIAG: i32 = 4;

/// SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;

/// UDIAG_SHOW_PEER and UNIX_DIAG_PEER of linux/unix_diag.h.
const SHOW_PEER: u32 = 4;
const PEER: u16 = 2;

/// Sizes of `nlmsghdr`, `unix_diag_msg` and `nlattr`.
const HEADER: usize = 16;
const MESSAGE: usize = 16;
const ATTRIBUTE: usize = 4;

/// Where one can ask.
pub struct UnixSockets(Socket);

impl UnixSockets {
    /// Opens it.
    ///
    /// # Errors
    /// The kernel has nobody to ask, or no memory.
    pub fn open() -> io::Result<Self> {
        Socket::new(Domain::from(libc::AF_NETLINK), Type::DGRAM, Some(Protocol::from(SOCK_DIAG))).map(Self)
    }

    /// The inode of the socket to which the one with this inode is connected, 0 if it is not. None if there is no such socket in this
    /// network namespace.
    ///
    /// # Errors
    /// The kernel does not answer in its own words.
    pub fn peer(&self, inode: u32) -> io::Result<Option<u32>> {
        self.0.send(&request(inode))?;
        let mut answer = [0; 1024];
        let length = (&self.0).read(&mut answer)?;
        parse(answer.get(..length).unwrap_or_default())
    }
}

/// `nlmsghdr` and `unix_diag_req`.
fn request(inode: u32) -> Vec<u8> {
    const LENGTH: u32 = 40;
    const ANY_COOKIE: [u32; 2] = [u32::MAX; 2];
    let family = u32::from_ne_bytes([libc::AF_UNIX as u8, 0, 0, 0]);
    let kind = u32::from(BY_FAMILY) | (libc::NLM_F_REQUEST as u32) << 16;
    let kind = if cfg!(target_endian = "little") { kind } else { kind.rotate_right(16) };
    let words = [LENGTH, kind, 0, 0, family, u32::MAX, inode, SHOW_PEER, ANY_COOKIE[0], ANY_COOKIE[1]];
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn parse(answer: &[u8]) -> io::Result<Option<u32>> {
    let short = || io::Error::other("the kernel's answer is too short");
    match u16_at(answer, 4).ok_or_else(short)? {
        BY_FAMILY => {}
        kind if i32::from(kind) == libc::NLMSG_ERROR => {
            let error = u32_at(answer, HEADER).ok_or_else(short)?.cast_signed().saturating_neg();
            return if error == libc::ENOENT { Ok(None) } else { Err(io::Error::from_raw_os_error(error)) };
        }
        kind => return Err(io::Error::other(format!("the kernel's answer is of the unknown kind {kind}"))),
    }
    let mut rest = answer.get(HEADER + MESSAGE..).ok_or_else(short)?;
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        if kind == PEER {
            return Ok(Some(u32_at(rest, ATTRIBUTE).ok_or_else(short)?));
        }
        rest = rest.get(usize::from(length).next_multiple_of(4).max(ATTRIBUTE)..).unwrap_or_default();
    }
    Ok(Some(0))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// One of the table of this network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its inode.
    pub inode: u32,
    /// SOCK_DGRAM, SOCK_STREAM or SOCK_SEQPACKET.
    pub kind: i32,
    /// Whether it listens.
    pub listens: bool,
    /// What it is bound to, if it is; one of an abstract address begins with `@`.
    pub name: Option<String>,
}

/// All sockets that somebody has open.
///
/// # Errors
/// There is no /proc.
pub fn listed() -> io::Result<Vec<Listed>> {
    let table = fs::read("/proc/self/net/unix")?;
    Ok(String::from_utf8_lossy(&table).lines().filter_map(listed_in).collect())
}

/// Columns: address, references, protocol, flags, type, state, inode, and the name, in which there may be spaces. Flag 0x10000 is
/// `__SO_ACCEPTCON`. A connection that nobody has accepted yet has no inode.
fn listed_in(line: &str) -> Option<Listed> {
    let mut rest = line;
    let mut word = || {
        let (first, after) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        rest = after;
        first
    };
    let [_, _, _, flags, kind, _, inode] = [(); 7].map(|()| word());
    let inode = inode.parse().ok().filter(|inode| *inode != 0)?;
    let kind = i32::from_str_radix(kind, 16).ok()?;
    let listens = u32::from_str_radix(flags, 16).ok()? & ACCEPTS_CONNECTIONS != 0;
    Some(Listed { inode, kind, listens, name: Some(rest.to_owned()).filter(|name| !name.is_empty()) })
}

const ACCEPTS_CONNECTIONS: u32 = 0x10000;

/// The inodes of all datagram sockets.
///
/// # Errors
/// There is no /proc.
pub fn datagram() -> io::Result<Vec<u32>> {
    Ok(listed()?
        .into_iter()
        .filter(|socket| socket.kind == libc::SOCK_DGRAM)
        .map(|socket| socket.inode)
        .collect())
}

/// The inode of a socket of this process.
///
/// # Errors
/// It is not open.
pub fn inode(fd: RawFd) -> io::Result<u32> {
    // SAFETY: it is only asked what it is, and if it is closed, the kernel says so.
    let number = fstat(unsafe { BorrowedFd::borrow_raw(fd) })?.st_ino;
    u32::try_from(number).map_err(io::Error::other)
}

/// For each socket that is `wanted`, a process of `tree` that has it, and its descriptor there.
pub fn holders(tree: &Tree, wanted: impl Fn(u32) -> bool) -> BTreeMap<u32, (i32, i32)> {
    let mut found = BTreeMap::new();
    for pid in tree.0.iter().map(|process| process.pid) {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let open = fs::read_link(entry.path()).unwrap_or_default();
            let inode =
                open.to_str().and_then(|open| open.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            let fd = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let (Some(inode), Some(fd)) = (inode.filter(|inode| wanted(*inode)), fd) {
                found.entry(inode).or_insert((pid, fd));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_kernel_tells_who_is_connected_to_whom() -> io::Result<()> {
        let (sockets, (one, other)) = (UnixSockets::open()?, UnixDatagram::pair()?);
        let alone = UnixDatagram::unbound()?;
        let [one, other, alone] = [one.as_raw_fd(), other.as_raw_fd(), alone.as_raw_fd()].map(inode);
        let (one, other, alone) = (one?, other?, alone?);
        assert_eq!(sockets.peer(one)?, Some(other));
        assert_eq!(sockets.peer(alone)?, Some(0));
        assert_eq!(sockets.peer(1)?, None, "no socket has this inode");
        let all = datagram()?;
        assert!([one, other, alone].iter().all(|inode| all.contains(inode)));
        Ok(())
    }

    #[test]
    fn the_table_is_read_by_its_columns() {
        let socket = |kind, listens, inode, name: Option<&str>| {
            Some(Listed { inode, kind, listens, name: name.map(str::to_owned) })
        };
        assert_eq!(listed_in("Num       RefCount Protocol Flags    Type St Inode Path"), None);
        let datagram = "0000000000000000: 00000002 00000000 00000000 0002 01 16 /run/a b";
        assert_eq!(listed_in(datagram), socket(libc::SOCK_DGRAM, false, 16, Some("/run/a b")));
        let listening = "0000000000000000: 00000002 00000000 00010000 0001 01    17 @abstract";
        assert_eq!(listed_in(listening), socket(libc::SOCK_STREAM, true, 17, Some("@abstract")));
        let unnamed = "0000000000000000: 00000003 00000000 00000000 0005 03 18";
        assert_eq!(listed_in(unnamed), socket(libc::SOCK_SEQPACKET, false, 18, None));
        assert_eq!(listed_in("0000000000000000: 00000003 00000000 00000000 0001 02 0 /a"), None);
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        let whole = request(7);
        for length in 0..whole.len() {
            let _ = parse(&whole[..length]);
        }
        assert!(parse(&[]).is_err() && parse(&[0; 64]).is_err());
    }
}
