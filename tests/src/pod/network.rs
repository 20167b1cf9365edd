//! A network by which pods reach something on this machine.

use std::net::{IpAddr, Ipv4Addr};
use std::process;
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
    // Not always the same first: one that was killed has left addresses.
    let first = (process::id() % u32::from(PARTS)) as u16;
    let numbers = (0..PARTS).map(|further| (first + further) % PARTS);
    Ok(part.insert(Claim::first("networks", numbers, |_| true)?).number())
}

/// The first three numbers of a subnet of four addresses that nobody else has, and the fourth of its first one.
fn subnet() -> Result<(String, u32, u32)> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok((format!("10.{}.{}", 128 + part()?, number / 64 % 256), number % 64 * 4, number))
}

/// A subnet of unique local addresses (RFC 4193) for each number and process, without its last group.
fn subnet6(number: u32) -> String {
    format!("fdc6:{:x}:{:x}:{number:x}:", process::id() >> 16, process::id() & 0xffff)
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// iproute2 is missing or refuses.
    pub fn new() -> Result<Self> {
        let (subnet, base, number) = subnet()?;
        let host = format!("{subnet}.{}", base + 1);
        let host6 = subnet6(number) + ":1";
        run("ip", &["address", "add", &format!("{host}/32"), "dev", LOOPBACK])?;
        run("ip", &["address", "add", &format!("{host6}/128"), "dev", LOOPBACK, "nodad"])?;
        let (part, lost, far) = (part()?, Mutex::default(), Mutex::default());
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
        // Link names have at most 15 characters, and other runs of the suite may have namespaces of their own.
        let name = format!("crik{:x}-{number:x}", process::id());
        let (address, address6) = (format!("{subnet}.{}", base + 2), subnet6(number) + ":2");
        let link = Link { name, address, address6, network: self.clone() };
        link.make(&format!("{subnet}.{}", base + 1))?;
        link.make6(&(subnet6(number) + ":1"))?;
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
