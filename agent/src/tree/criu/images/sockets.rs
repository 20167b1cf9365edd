//! Sockets in an image.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prost::Message;

/// `inet_sk_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Inet {
    /// Its inode, by which what it has not sent and not read is named.
    #[prost(uint32, tag = "2")]
    pub inode: u32,
    /// `AF_INET` or `AF_INET6`.
    #[prost(uint32, tag = "3")]
    pub family: u32,
    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_RAW`.
    #[prost(uint32, tag = "4")]
    pub kind: u32,
    /// An IPPROTO_ number.
    #[prost(uint32, tag = "5")]
    pub protocol: u32,
    /// A TCP_ number of include/net/tcp_states.h.
    #[prost(uint32, tag = "6")]
    pub state: u32,
    /// Where it is bound; 0 if it is not.
    #[prost(uint32, tag = "7")]
    pub source_port: u32,
    /// Where it is connected; 0 if it is not.
    #[prost(uint32, tag = "8")]
    pub target_port: u32,
    /// The words of the address that it is bound to, see [`Inet::source_ip`].
    #[prost(uint32, repeated, packed = "false", tag = "11")]
    pub source: Vec<u32>,
    /// The words of the address that it is connected to.
    #[prost(uint32, repeated, packed = "false", tag = "12")]
    pub target: Vec<u32>,
    /// Its options of the internet protocol.
    #[prost(message, optional, tag = "16")]
    pub options: Option<IpOptions>,
}

/// `ip_opts_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct IpOptions {
    /// Whether it may be bound to an address that is not there (ip(7), `IP_FREEBIND`).
    #[prost(bool, tag = "1")]
    pub free_bind: bool,
}

/// `unix_sk_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Unix {
    /// Its inode, by which its peers name it.
    #[prost(uint32, tag = "2")]
    pub inode: u32,
    /// `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`.
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    /// A TCP_ number of include/net/tcp_states.h.
    #[prost(uint32, tag = "4")]
    pub state: u32,
    /// What CRIU notes of it (criu/sk-unix.c, `USK_`).
    #[prost(uint32, tag = "6")]
    pub notes: u32,
    /// The inode of its peer; 0 if it has none.
    #[prost(uint32, tag = "8")]
    pub peer: u32,
    /// Where it is bound (unix(7)); an abstract name begins with a zero.
    #[prost(bytes = "vec", tag = "11")]
    pub name: Vec<u8>,
    /// The directory in which a name that is not absolute is.
    #[prost(bytes = "vec", optional, tag = "14")]
    pub directory: Option<Vec<u8>>,
}

/// In `notes`: a socket of a process outside the tree (`USK_EXTERN`).
const OUTSIDE: u32 = 1;

/// `TCP_ESTABLISHED` and `TCP_CLOSE` of include/net/tcp_states.h.
const ESTABLISHED: u32 = 1;
pub(super) const CLOSED: u32 = 7;

/// `TCP_FIN_WAIT1`, `TCP_LAST_ACK` and `TCP_CLOSING` of the same.
const ENDING: [u32; 3] = [4, 9, 11];

/// `TCP_LISTEN` of include/net/tcp_states.h, which UNIX sockets use too.
const LISTEN: u32 = 10;

/// The other states that a person meets.
const STATES: [(u32, &str); 4] = [(1, "established"), (6, "time-wait"), (7, "closed"), (8, "close-wait")];

fn state(number: u32) -> &'static str {
    if number == LISTEN {
        return "listening";
    }
    STATES.iter().find(|(known, _)| *known == number).map_or("", |(_, name)| name)
}

/// CRIU keeps the words of an address as they are in memory, in network order.
fn address(words: &[u32], port: u32) -> Option<SocketAddr> {
    let port = u16::try_from(port).ok()?;
    let ip: IpAddr = match words {
        [] => return None,
        [word] => Ipv4Addr::from(word.to_ne_bytes()).into(),
        _ => {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()
        }
    };
    Some(SocketAddr::new(ip, port))
}

/// The words for an address, as many as there were.
fn words(ip: IpAddr, like: &[u32]) -> Option<Vec<u32>> {
    let word = |bytes: &[u8]| Some(u32::from_ne_bytes(*bytes.first_chunk()?));
    match (ip, like.len()) {
        (IpAddr::V4(ip), 1..4) => Some(vec![word(&ip.octets())?]),
        (IpAddr::V6(ip), 4) => ip.octets().chunks(4).map(word).collect(),
        (IpAddr::V4(ip), 4) => words(ip.to_ipv6_mapped().into(), like),
        _ => None,
    }
}

impl Inet {
    /// The address that it is bound to, and its port.
    pub fn source(&self) -> Option<SocketAddr> {
        address(&self.source, self.source_port)
    }

    /// The address that it is connected to, and its port.
    pub fn target(&self) -> Option<SocketAddr> {
        address(&self.target, self.target_port).filter(|_| self.target_port != 0)
    }

    /// The same, bound to another address and connected to another one. An address of the older protocol is written in the
    /// form of the newer one (RFC 4291, «IPv4-Mapped») where the socket is one of that. None if one does not fit.
    pub fn between(&self, source: Option<IpAddr>, target: Option<IpAddr>) -> Option<Self> {
        let put = |ip: Option<IpAddr>, like: &[u32]| match ip {
            None => Some(like.to_vec()),
            Some(ip) => words(ip, like),
        };
        let (source, target) = (put(source, &self.source)?, put(target, &self.target)?);
        Some(Self { source, target, ..self.clone() })
    }

    /// Whether clients can connect to it.
    pub fn listens(&self) -> bool {
        self.state == LISTEN
    }

    /// Whether both sides may still say something.
    pub fn is_established(&self) -> bool {
        self.state == ESTABLISHED
    }

    /// Whether it has said that it has said all, and the other side has not acknowledged that.
    pub fn is_ending(&self) -> bool {
        ENDING.contains(&self.state)
    }

    /// Whether it is of a protocol with connections.
    pub fn is_tcp(&self) -> bool {
        self.protocol == libc::IPPROTO_TCP.cast_unsigned()
    }

    /// Whether its program wants to be bound to an address that is not there.
    pub fn binds_freely(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.free_bind)
    }

    /// IPPROTO_ of include/uapi/linux/in.h.
    pub fn protocol(&self) -> &'static str {
        match self.protocol {
            6 => "tcp",
            17 => "udp",
            _ => "inet",
        }
    }
}

impl Unix {
    /// Whether it belongs to a process outside the tree and takes datagrams.
    pub fn is_datagram_peer_outside(&self) -> bool {
        self.notes & OUTSIDE != 0 && self.kind == libc::SOCK_DGRAM.cast_unsigned()
    }
}

impl std::fmt::Display for Inet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = address(&self.source, self.source_port);
        let target = address(&self.target, self.target_port).filter(|_| self.target_port != 0);
        source.iter().try_for_each(|source| write!(f, "{source} "))?;
        target.iter().try_for_each(|target| write!(f, "→ {target} "))?;
        f.write_str(state(self.state))
    }
}

impl std::fmt::Display for Unix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An abstract name begins with a zero (unix(7)).
        let name = String::from_utf8_lossy(&self.name).trim_end_matches('\0').replace('\0', "@");
        if name.is_empty() {
            write!(f, "[{}]", self.inode)?;
        } else {
            write!(f, "{name}")?;
        }
        if self.peer != 0 {
            write!(f, " ↔ [{}]", self.peer)?;
        }
        if self.state == LISTEN { f.write_str(" listening") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_told_as_ss_tells_it() {
        let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
        let socket = Inet {
            protocol: 6,
            state: LISTEN,
            source_port: 8080,
            target_port: 0,
            source: vec![loopback],
            target: vec![0],
            ..Inet::default()
        };
        assert_eq!((socket.protocol(), socket.to_string().as_str()), ("tcp", "127.0.0.1:8080 listening"));
        let connected = Inet { state: 1, target_port: 443, target: vec![loopback], ..socket };
        assert_eq!(connected.to_string(), "127.0.0.1:8080 → 127.0.0.1:443 established");
        let unix = Unix { inode: 7, state: 1, peer: 8, name: b"\0name".to_vec(), ..Unix::default() };
        assert_eq!(unix.to_string(), "@name ↔ [8]");
    }

    #[test]
    fn a_port_that_is_none_is_left_out() {
        let socket = Inet { source: vec![1, 2], source_port: 1 << 20, ..Inet::default() };
        assert_eq!(socket.to_string(), "");
    }
}
