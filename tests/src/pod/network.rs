//! A network namespace for a pod that has to reach something on this machine.

use std::net::{IpAddr, Ipv4Addr};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::command::run;

/// A namespace with one link to this machine; removed at the end.
pub struct Network {
    name: String,
    host: String,
    number: u32,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// iproute2 is missing or refuses.
    pub fn new() -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Link names have at most 15 characters, and other runs of the suite may have namespaces of their own.
        let name = format!("crik{:x}-{number:x}", process::id());
        let subnet = format!("10.{}.{}", 128 + process::id() % 100, number / 64 % 256);
        let base = number % 64 * 4;
        let network = Self { host: format!("{subnet}.{}", base + 1), name, number };
        network.link(&format!("{subnet}.{}", base + 2))?;
        Ok(network)
    }

    fn link(&self, pod: &str) -> Result<()> {
        let name = &self.name;
        run("ip", &["netns", "add", name])?;
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        run("ip", &["address", "add", &format!("{}/30", self.host), "dev", name])?;
        run("ip", &["link", "set", name, "up"])?;
        run("ip", &["-n", name, "address", "add", &format!("{pod}/30"), "dev", "eth0"])?;
        run("ip", &["-n", name, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        Ok(())
    }

    /// This machine's address as the pod sees it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A further address of this machine, as the pod sees it; the same for the same `n` below 64.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn address(&self, n: u8) -> Result<IpAddr> {
        let address = self.far_address(n);
        run("ip", &["address", "add", &format!("{address}/32"), "dev", &self.name])?;
        run("ip", &["-n", &self.name, "route", "add", &address.to_string(), "via", &self.host])?;
        Ok(address)
    }

    /// An address of a machine that is gone, to which packets are sent and lost.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn lost_address(&self, n: u8) -> Result<IpAddr> {
        let (address, name) = (self.far_address(n), &self.name);
        // The hardware address is nobody's, so that nobody takes what is sent there.
        let nobody = ["lladdr", "02:00:00:00:00:00", "dev", "eth0", "nud", "permanent"];
        run("ip", &["-n", name, "route", "add", &address.to_string(), "dev", "eth0"])?;
        run("ip", &[&["-n", name, "neigh", "add", &address.to_string()], &nobody[..]].concat())?;
        Ok(address)
    }

    /// Of the range that is kept for carriers (RFC 6598), since pods do not use it.
    fn far_address(&self, n: u8) -> IpAddr {
        let [process, number] = [process::id() % 64, self.number % 1024].map(|part| part.to_be_bytes());
        Ipv4Addr::new(100, 64 + process[3], number[3], number[2] * 64 + n % 64).into()
    }

    /// The namespace's file.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = run("ip", &["link", "delete", &self.name]);
        let _ = run("ip", &["netns", "delete", &self.name]);
    }
}
