//! A network by which pods reach something on this machine.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::command::run;
use crate::harness::claim::Claim;

/// An address of this machine that every pod on the network can reach, each by a link and in a subnet of its own; removed with
/// the last pod.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    host: String,
    host6: String,
    part: u16,
    number: u32,
    lost: Mutex<Vec<IpAddr>>,
    /// Further addresses that this machine has for it.
    far: Mutex<Vec<IpAddr>>,
}

/// Where addresses of this machine are that no link has.
const LOOPBACK: &str = "lo";

/// The range that is kept for carriers (RFC 6598), since pods do not use it.
const FAR: &str = "100.64.0.0/10";

/// How many programs of tests can have networks at a time.
const PARTS: u16 = 64;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The part of all subnets that this program has, and none beside it.
fn part() -> Result<u16> {
    static PART: Mutex<Option<Claim>> = Mutex::new(None);
    let mut part = PART.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(part) = &*part {
        return Ok(part.number());
    }
    let claim = Claim::first("networks", 0..PARTS, |_| true)?;
    remove_what_was_left(claim.number())?;
    Ok(part.insert(claim).number())
}

/// Removes the networks of a program that had this part before and was killed, so that its addresses are in nobody's way.
fn remove_what_was_left(part: u16) -> Result<()> {
    for link in names(&run("ip", &["-brief", "link"])?, &link_of(part, "")) {
        let _ = run("ip", &["link", "delete", &link]);
    }
    for namespace in names(&run("ip", &["netns"])?, &link_of(part, "")) {
        run("ip", &["netns", "delete", &namespace])?;
    }
    let addresses = run("ip", &["-brief", "address", "show", "dev", LOOPBACK])?;
    for address in addresses.split_whitespace().filter(|address| is_of(part, address)) {
        run("ip", &["address", "delete", address, "dev", LOOPBACK])?;
    }
    Ok(())
}

/// The first words of the lines that begin so; a link's is followed by that of its other end.
fn names(lines: &str, prefix: &str) -> Vec<String> {
    let firsts = lines.lines().filter_map(|line| line.split([' ', '@']).next());
    firsts.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// The name of a link, which has at most 15 characters, and of its network namespace. What the cluster has is named in another way.
fn link_of(part: u16, number: &str) -> String {
    format!("crikp{part}-{number}")
}

/// Whether this is one of the addresses that this machine has for the networks of this part.
fn is_of(part: u16, address: &str) -> bool {
    let near = format!("10.{}.", 128 + part);
    let far = format!("100.{}.", 64 + part);
    [near, far, subnet6_of(part)].iter().any(|prefix| address.starts_with(prefix.as_str()))
}

/// The first three numbers of a subnet of four addresses that nobody else has, and the fourth of its first one.
fn subnet() -> Result<(String, u32, u32)> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok((format!("10.{}.{}", 128 + part()?, number / 64 % 256), number % 64 * 4, number))
}

/// A subnet of unique local addresses (RFC 4193) for each number, without its last group.
fn subnet6(part: u16, number: u32) -> String {
    format!("{}{number:x}:", subnet6_of(part))
}

/// What the subnets of a part begin with. What the kernel prints has no group that is zero.
fn subnet6_of(part: u16) -> String {
    format!("fdc6:{:x}:1:", part + 1)
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// iproute2 is missing or refuses.
    pub fn new() -> Result<Self> {
        let (subnet, base, number) = subnet()?;
        let host = format!("{subnet}.{}", base + 1);
        let part = part()?;
        let host6 = subnet6(part, number) + ":1";
        run("ip", &["address", "add", &format!("{host}/32"), "dev", LOOPBACK])?;
        run("ip", &["address", "add", &format!("{host6}/128"), "dev", LOOPBACK, "nodad"])?;
        let (lost, far) = (Mutex::default(), Mutex::default());
        Ok(Self(Arc::new(Shared { host, host6, part, number, lost, far })))
    }

    /// This machine's address as a pod sees it.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The same of the newer protocol.
    pub fn host6(&self) -> &str {
        &self.0.host6
    }

    /// A further address of this machine, as a pod sees it; the same for the same `n` below 64.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn address(&self, n: u8) -> Result<IpAddr> {
        let address = self.far_address(n);
        run("ip", &["address", "add", &format!("{address}/32"), "dev", LOOPBACK])?;
        self.0.far.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        Ok(address)
    }

    /// An address of a machine that is gone, to which packets are sent and lost; for pods that start later.
    pub fn lost_address(&self, n: u8) -> IpAddr {
        let address = self.far_address(n);
        self.0.lost.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        address
    }

    fn far_address(&self, n: u8) -> IpAddr {
        let ([_, part], [high, low]) =
            (self.0.part.to_be_bytes(), ((self.0.number % 1024) as u16).to_be_bytes());
        Ipv4Addr::new(100, 64 + part, low, high * 64 + n % 64).into()
    }

    /// Links a pod to it.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub(super) fn link(&self) -> Result<Link> {
        let (subnet, base, number) = subnet()?;
        let part = self.0.part;
        let name = link_of(part, &format!("{number:x}"));
        let (address, address6) = (format!("{subnet}.{}", base + 2), subnet6(part, number) + ":2");
        let link = Link { name, address, address6, network: self.clone() };
        link.make(&format!("{subnet}.{}", base + 1))?;
        link.make6(&(subnet6(part, number) + ":1"))?;
        Ok(link)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let far = self.far.get_mut().unwrap_or_else(PoisonError::into_inner);
        let addresses = far.iter().map(IpAddr::to_string).chain([self.host.clone()]);
        for address in addresses {
            let _ = run("ip", &["address", "delete", &format!("{address}/32"), "dev", LOOPBACK]);
        }
        let _ = run("ip", &["address", "delete", &format!("{}/128", self.host6), "dev", LOOPBACK]);
    }
}

/// A pod's network namespace with its link to this machine; removed when this is dropped.
pub struct Link {
    name: String,
    address: String,
    address6: String,
    network: Network,
}

impl Link {
    fn make(&self, near: &str) -> Result<()> {
        let (name, host) = (&self.name, self.network.host());
        run("ip", &["netns", "add", name])?;
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        run("ip", &["address", "add", &format!("{near}/30"), "dev", name])?;
        run("ip", &["link", "set", name, "up"])?;
        run("ip", &["-n", name, "address", "add", &format!("{}/30", self.address), "dev", "eth0"])?;
        run("ip", &["-n", name, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        // No way to anywhere else, so that nothing that is asked there is waited for.
        for there in [host, FAR] {
            run("ip", &["-n", name, "route", "add", there, "via", near])?;
        }
        self.network
            .0
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .try_for_each(|lost| self.lose(lost))
    }

    /// Without the search for another one with the same address (RFC 4862), which takes a second.
    fn make6(&self, near: &str) -> Result<()> {
        let (name, host) = (&self.name, self.network.host6());
        run("ip", &["address", "add", &format!("{near}/64"), "dev", name, "nodad"])?;
        run("ip", &["-n", name, "address", "add", &format!("{}/64", self.address6), "dev", "eth0", "nodad"])?;
        run("ip", &["-n", name, "route", "add", host, "via", near])?;
        Ok(())
    }

    /// The hardware address is nobody's, so that nobody takes what is sent there.
    fn lose(&self, lost: &IpAddr) -> Result<()> {
        let (name, lost) = (&self.name, lost.to_string());
        let nobody = ["lladdr", "02:00:00:00:00:00", "dev", "eth0", "nud", "permanent"];
        run("ip", &["-n", name, "route", "add", &lost, "dev", "eth0"])?;
        run("ip", &[&["-n", name, "neigh", "add", &lost], &nobody[..]].concat())?;
        Ok(())
    }

    /// The pod's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The pod's address of the newer protocol.
    pub fn address6(&self) -> &str {
        &self.address6
    }

    /// The namespace's file.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = run("ip", &["link", "delete", &self.name]);
        let _ = run("ip", &["netns", "delete", &self.name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_of_a_program_that_was_killed_are_in_nobodys_way() {
        let claim = Claim::first("networks", 0..PARTS, |_| true).unwrap();
        let (part, link) = (claim.number(), link_of(claim.number(), "7"));
        // Of a suite that was killed on this machine before.
        remove_what_was_left(part).unwrap();
        let ours = [format!("10.{}.0.5/32", 128 + part), subnet6(part, 1) + ":1/128"];
        for address in &ours {
            run("ip", &["address", "add", address, "dev", LOOPBACK]).unwrap();
        }
        run("ip", &["netns", "add", &link]).unwrap();
        run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &link]).unwrap();
        remove_what_was_left(part).unwrap();
        let there = ["link", "netns", "address"].map(|what| run("ip", &[what]).unwrap()).concat();
        let left = ours.iter().chain([&link]).find(|name| there.contains(name.as_str()));
        assert_eq!(left, None);
    }
}
