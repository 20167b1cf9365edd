//! Sockets in an image.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use prost::Message;

/// `inet_sk_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Inet {
    #[prost(uint32, tag = "5")]
    pub protocol: u32,
    #[prost(uint32, tag = "6")]
    pub state: u32,
    #[prost(uint32, tag = "7")]
    pub source_port: u32,
    #[prost(uint32, tag = "8")]
    pub target_port: u32,
    #[prost(uint32, repeated, packed = "false", tag = "11")]
    pub source: Vec<u32>,
    #[prost(uint32, repeated, packed = "false", tag = "12")]
    pub target: Vec<u32>,
}

/// `unix_sk_entry`.
#[derive(Clone, PartialEq, Message)]
pub struct Unix {
    #[prost(uint32, tag = "2")]
    pub inode: u32,
    #[prost(uint32, tag = "4")]
    pub state: u32,
    #[prost(uint32, tag = "8")]
    pub peer: u32,
    #[prost(bytes = "vec", tag = "11")]
    pub name: Vec<u8>,
}

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

impl Inet {
    /// IPPROTO_ of include/uapi/linux/in.h.
    pub fn protocol(&self) -> &'static str {
        match self.protocol {
            6 => "tcp",
            17 => "udp",
            _ => "inet",
        }
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
        };
        assert_eq!((socket.protocol(), socket.to_string().as_str()), ("tcp", "127.0.0.1:8080 listening"));
        let connected = Inet { state: 1, target_port: 443, target: vec![loopback], ..socket };
        assert_eq!(connected.to_string(), "127.0.0.1:8080 → 127.0.0.1:443 established");
        let unix = Unix { inode: 7, state: 1, peer: 8, name: b"\0name".to_vec() };
        assert_eq!(unix.to_string(), "@name ↔ [8]");
    }

    #[test]
    fn a_port_that_is_none_is_left_out() {
        let socket = Inet { source: vec![1, 2], source_port: 1 << 20, ..Inet::default() };
        assert_eq!(socket.to_string(), "");
    }
}
