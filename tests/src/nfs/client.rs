//! A client of the server, in a network namespace of its own, which is all that makes it another one for the kernel: it has
//! its own connection, client id, opened files and caches.

use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use super::server::ADDRESS;
use crate::command::run;

/// One, whose link is removed when this is dropped.
pub struct Client {
    name: String,
    options: &'static str,
}

/// What was seen once is believed for an hour, except where the client asks because it opens something (nfs(5)).
const FOR_AN_HOUR: &str = "actimeo=3600";

impl Client {
    /// Makes one, with the caches of a node that has set nothing.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let client = Self { name: format!("nfs{}-{number}", process::id()), options: "rw" };
        let (name, address) = (&client.name, format!("100.127.{}.2", number % 250 + 1));
        run("ip", &["netns", "add", name])?;
        run("ip", &["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        run("ip", &["address", "add", ADDRESS, "peer", &address, "dev", name])?;
        client.connect()?;
        run("ip", &["-n", name, "address", "add", &address, "peer", ADDRESS, "dev", "eth0"])?;
        run("ip", &["-n", name, "link", "set", "eth0", "up"])?;
        Ok(client)
    }

    /// Makes one that believes for an hour what it has seen, so that nothing that waits for the end of that is taken for
    /// what is merely slow.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn credulous() -> Result<Self> {
        let mut client = Self::new()?;
        client.options = FOR_AN_HOUR;
        Ok(client)
    }

    /// Mounts what the server has at `from`. The host's name is part of what the server tells clients by.
    ///
    /// # Errors
    /// The server refuses.
    pub fn mount(&self, from: &str, to: &Path) -> Result<()> {
        let net = format!("--net=/run/netns/{}", self.name);
        let script = "hostname \"$1\" && exec mount -t nfs4 -o \"$2\" \"$3\" \"$4\"";
        let args = [&net, "unshare", "--uts", "sh", "-c", script, "mount", &self.name, self.options, from];
        run("nsenter", &[&args[..], &[&to.to_string_lossy()]].concat()).map(drop)
    }

    /// Nothing that it sends arrives any more, as when its node is lost.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn cut_off(&self) -> Result<()> {
        run("ip", &["link", "set", &self.name, "down"]).map(drop)
    }

    /// It is there again: only then can it unmount anything.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn connect(&self) -> Result<()> {
        run("ip", &["link", "set", &self.name, "up"]).map(drop)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = run("ip", &["link", "delete", &self.name]);
        let _ = run("ip", &["netns", "delete", &self.name]);
    }
}
