//! What the sockets of a process are, as the kernel tells of them (proc(5), `/proc/PID/net`; net/socket.c, `system.sockprotoname`).

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The name of its protocol, as the kernel calls it: `TCP`, `MPTCP`, `UNIX-STREAM`. None if it is no socket, or is closed by now.
#[must_use]
pub fn protocol(pid: i32, fd: i32) -> Option<String> {
    let value = xattr::get_deref(format!("/proc/{pid}/fd/{fd}"), "system.sockprotoname").ok()??;
    let name = value.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A socket of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Its own address.
    pub local: SocketAddr,
    /// The other side's, if it is connected.
    pub peer: Option<SocketAddr>,
}

/// The state LISTEN of include/net/tcp_states.h.
const LISTEN: &str = "0A";

/// Those of the network in which process `pid` is, by their inodes.
#[must_use]
pub fn tcp(pid: i32) -> BTreeMap<u32, Tcp> {
    let tables = ["tcp", "tcp6"].map(|name| format!("/proc/{pid}/net/{name}"));
    tables.iter().flat_map(|table| parse(&fs::read_to_string(Path::new(table)).unwrap_or_default())).collect()
}

fn parse(table: &str) -> Vec<(u32, Tcp)> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [local, peer] = [address(words.get(1)?)?, address(words.get(2)?)?];
        let peer = (*words.get(3)? != LISTEN).then_some(peer);
        Some((words.get(9)?.parse().ok()?, Tcp { local, peer }))
    };
    table.lines().filter_map(one).collect()
}

/// Words of four bytes in the machine's own order, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Vec<u32> = (0..ip.len() / 8)
        .map(|at| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok())
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::tree::process::unix_sockets::inode;

    #[test]
    fn sockets_are_what_they_were_made_for() {
        let own = std::process::id().cast_signed();
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(protocol(own, one.as_raw_fd()).unwrap().starts_with("UNIX"));
        for name in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(name).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert!(protocol(own, client.as_raw_fd()).unwrap().starts_with("TCP"));
            let all = tcp(own);
            let of = |fd| all.get(&inode(fd).unwrap()).copied().unwrap();
            assert_eq!(of(listener.as_raw_fd()), Tcp { local: listener.local_addr().unwrap(), peer: None });
            let peer = Some(listener.local_addr().unwrap());
            assert_eq!(of(client.as_raw_fd()), Tcp { local: client.local_addr().unwrap(), peer });
        }
    }

    #[test]
    fn a_file_is_no_socket() {
        assert_eq!(protocol(std::process::id().cast_signed(), 1_000_000), None);
    }
}
