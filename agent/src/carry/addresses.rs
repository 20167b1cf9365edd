//! The pod's addresses: the new pod's in place of the old one's, in the sockets that carry them.
//!
//! Each pod has an address of its own. A socket that listens on it, a UDP socket that is connected, and a TCP socket whose
//! connection was reset are all bound to it, and CRIU binds them again.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crik_store::generation::tree_facts::PodAddress;
use nix::ifaddrs::getifaddrs;
use thiserror::Error;

use crate::tree::criu::images::{Damage, FilesImage, Inet};

/// Why the sockets of an image cannot be restored here.
#[derive(Debug, Error)]
pub enum AddressError {
    /// One is bound to an address for which there is none here.
    #[error(
        "the program has a {kind} socket at {socket}, an address of its old pod, and this pod has none in its place \
         ({here}); let the program listen on 0.0.0.0 or ::"
    )]
    NoneHere {
        /// Its protocol.
        kind: &'static str,
        /// As `ss` tells it.
        socket: String,
        /// The addresses that there are.
        here: String,
    },
    /// The image is not what CRIU writes.
    #[error("its image of open files is damaged: {0}")]
    Damaged(Damage),
}

impl From<Damage> for AddressError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// The addresses of this pod, without those of the loopback interface.
///
/// # Errors
/// The kernel does not tell them (getifaddrs(3)).
pub fn own() -> io::Result<Vec<PodAddress>> {
    let ip = |address: &nix::sys::socket::SockaddrStorage| -> Option<IpAddr> {
        let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
    };
    let all = getifaddrs()?.filter_map(|found| {
        let ip = found.address.as_ref().and_then(ip).filter(|ip| !ip.is_loopback())?;
        Some(PodAddress { interface: found.interface_name, ip })
    });
    Ok(all.collect())
}

/// Which address takes the place of which.
#[derive(Debug)]
pub struct Addresses {
    moved: BTreeMap<IpAddr, IpAddr>,
    here: Vec<IpAddr>,
}

impl Addresses {
    /// From those at the checkpoint to those of this pod: on the interface of the same name, or on any if it has none, those of
    /// one kind in their order. If there are fewer than before, the first stands for the rest.
    pub fn between(then: &[PodAddress], now: &[PodAddress]) -> Self {
        let mut moved = BTreeMap::new();
        for old in then {
            let like = |address: &&PodAddress| kind(address.ip) == kind(old.ip);
            let on_it = |address: &&PodAddress| address.interface == old.interface;
            let place =
                then.iter().filter(like).filter(on_it).position(|address| address == old).unwrap_or(0);
            let candidates: Vec<&PodAddress> = now.iter().filter(like).filter(on_it).collect();
            let new = candidates.get(place).or(candidates.first()).copied().or_else(|| now.iter().find(like));
            moved.extend(new.map(|new| (old.ip, new.ip)));
        }
        Self { moved, here: now.iter().map(|address| address.ip).collect() }
    }

    /// Gives every socket of an image that carries an address of the old pod that of this one.
    ///
    /// # Errors
    /// One cannot be restored here, or the image is damaged.
    pub fn put_into(&self, files: &mut FilesImage) -> Result<(), AddressError> {
        files.readdress(|socket| self.changed(socket))
    }

    /// The socket as it is to be here; none if nothing about it changes.
    fn changed(&self, socket: &Inet) -> Result<Option<Inet>, AddressError> {
        let target = socket.target().and_then(|target| self.moved.get(&target.ip().to_canonical()).copied());
        let source = match socket.source() {
            Some(source) => self.source(socket, source.ip())?,
            None => None,
        };
        if source.is_none() && target.is_none() {
            return Ok(None);
        }
        let changed = socket.between(source, target).ok_or_else(|| self.none_here(socket))?;
        Ok((changed != *socket).then_some(changed))
    }

    /// The address that takes the place of the one that a socket is bound to; none if that can stay.
    fn source(&self, socket: &Inet, old: IpAddr) -> Result<Option<IpAddr>, AddressError> {
        let old = old.to_canonical();
        if let Some(new) = self.moved.get(&old) {
            return Ok(Some(*new));
        }
        let connected_tcp = socket.is_tcp() && socket.target().is_some();
        // What is connected by TCP is closed and not bound, but if both its addresses have a place here.
        if socket.binds_freely() || connected_tcp || self.is_everywhere(old) {
            return Ok(None);
        }
        let is_closed = socket.is_tcp() && !socket.listens();
        if is_closed || socket.target().is_some() {
            // The kernel chooses when it is connected.
            return Ok(Some(unspecified(old)));
        }
        Err(self.none_here(socket))
    }

    /// Whether an address of the old pod, or its place here, can be bound.
    pub fn have(&self, old: IpAddr) -> bool {
        self.moved.contains_key(&old.to_canonical()) || self.is_everywhere(old.to_canonical())
    }

    /// Whether it can be bound on any machine, or is one of this pod's.
    fn is_everywhere(&self, ip: IpAddr) -> bool {
        let broadcast = ip == IpAddr::from(Ipv4Addr::BROADCAST);
        ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast || self.here.contains(&ip)
    }

    fn none_here(&self, socket: &Inet) -> AddressError {
        let here: Vec<String> = self.here.iter().map(IpAddr::to_string).collect();
        let here = if here.is_empty() { "none at all".to_owned() } else { here.join(", ") };
        AddressError::NoneHere { kind: socket.protocol(), socket: socket.to_string(), here }
    }
}

/// Addresses of one kind stand for each other: an IPv6 address that is good on one link only is no other one.
fn kind(ip: IpAddr) -> (bool, bool) {
    let local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    (ip.is_ipv4(), local)
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: u32 = 6;
    const UDP: u32 = 17;
    const LISTENING: u32 = 10;

    fn pod(addresses: &[(&str, &str)]) -> Vec<PodAddress> {
        let address = |(interface, ip): &(&str, &str)| PodAddress {
            interface: (*interface).to_owned(),
            ip: ip.parse().unwrap(),
        };
        addresses.iter().map(address).collect()
    }

    fn bytes(ip: &str) -> Vec<u32> {
        let ip: IpAddr = ip.parse().unwrap();
        let octets = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
    }

    fn socket(protocol: u32, state: u32, source: &str, target: Option<&str>) -> Inet {
        let like = if source.contains(':') { "::" } else { "0.0.0.0" };
        Inet {
            protocol,
            state,
            source_port: 80,
            target_port: target.map_or(0, |_| 8125),
            source: bytes(source),
            target: bytes(target.unwrap_or(like)),
            ..Inet::default()
        }
    }

    fn addresses() -> Addresses {
        Addresses::between(
            &pod(&[("eth0", "10.0.0.5"), ("eth0", "fd00::5"), ("eth0", "fe80::5"), ("net1", "10.9.0.5")]),
            &pod(&[("eth0", "10.1.0.7"), ("eth0", "fe80::7"), ("eth0", "fd01::7"), ("net1", "10.8.0.7")]),
        )
    }

    fn moved(socket: &Inet) -> Option<String> {
        addresses().changed(socket).unwrap().map(|socket| socket.to_string())
    }

    #[test]
    fn what_carries_the_old_address_gets_the_new_one() {
        for (socket, expected) in [
            (socket(TCP, LISTENING, "10.0.0.5", None), "10.1.0.7:80 listening"),
            (socket(TCP, LISTENING, "10.9.0.5", None), "10.8.0.7:80 listening"),
            (socket(TCP, LISTENING, "fd00::5", None), "[fd01::7]:80 listening"),
            (socket(TCP, LISTENING, "::ffff:10.0.0.5", None), "[::ffff:10.1.0.7]:80 listening"),
            (socket(UDP, 1, "10.0.0.5", Some("10.0.0.1")), "10.1.0.7:80 → 10.0.0.1:8125 established"),
            (socket(UDP, 1, "10.0.0.5", Some("10.0.0.5")), "10.1.0.7:80 → 10.1.0.7:8125 established"),
            (
                socket(UDP, 1, "::ffff:10.0.0.5", Some("::ffff:10.0.0.1")),
                "[::ffff:10.1.0.7]:80 → [::ffff:10.0.0.1]:8125 established",
            ),
            (socket(UDP, 7, "fe80::5", None), "[fe80::7]:80 closed"),
            (socket(TCP, 7, "10.0.0.5", None), "10.1.0.7:80 closed"),
        ] {
            assert_eq!(moved(&socket).as_deref(), Some(expected), "{socket}");
        }
    }

    #[test]
    fn what_is_good_on_every_machine_stays() {
        for ip in ["0.0.0.0", "127.0.0.1", "::1", "::", "239.1.2.3", "::ffff:127.0.0.1", "10.1.0.7"] {
            assert_eq!(moved(&socket(TCP, LISTENING, ip, None)), None, "{ip}");
        }
        let mut free = socket(TCP, LISTENING, "10.7.7.7", None);
        free.options = Some(crate::tree::criu::images::IpOptions { free_bind: true });
        assert_eq!(moved(&free), None);
    }

    #[test]
    fn what_only_sends_is_left_to_the_kernel_where_nothing_takes_its_place() {
        let sends = socket(UDP, 1, "10.7.7.7", Some("10.0.0.1"));
        assert_eq!(moved(&sends).as_deref(), Some("0.0.0.0:80 → 10.0.0.1:8125 established"));
        assert_eq!(moved(&socket(TCP, 7, "fd07::7", None)).as_deref(), Some("[::]:80 closed"));
        assert_eq!(moved(&socket(TCP, 1, "10.7.7.7", Some("10.0.0.1"))), None, "closed at the restore");
    }

    #[test]
    fn what_has_a_place_here_is_told() {
        let have = |ip: &str| addresses().have(ip.parse().unwrap());
        assert!(["10.0.0.5", "::ffff:10.9.0.5", "127.0.0.2", "::1", "10.1.0.7"].into_iter().all(have));
        assert!(["10.7.7.7", "fd07::7"].into_iter().all(|ip| !have(ip)));
    }

    #[test]
    fn what_listens_where_no_address_takes_its_place_is_named() {
        let only_v4 = Addresses::between(&pod(&[("eth0", "fd00::5")]), &pod(&[("eth0", "10.1.0.7")]));
        let error = only_v4.changed(&socket(TCP, LISTENING, "fd00::5", None)).unwrap_err().to_string();
        assert!(error.contains("tcp socket at [fd00::5]:80 listening"), "{error}");
        assert!(error.contains("(10.1.0.7)"), "{error}");
    }

    #[test]
    fn an_interface_of_another_name_serves_as_well() {
        let moved = Addresses::between(&pod(&[("eth0", "10.0.0.5")]), &pod(&[("ens3", "10.1.0.7")]));
        assert_eq!(moved.moved[&"10.0.0.5".parse::<IpAddr>().unwrap()].to_string(), "10.1.0.7");
    }
}
