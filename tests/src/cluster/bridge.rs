//! The link between this machine and its nodes.

use anyhow::Result;

use super::addresses::{BRIDGE, BRIDGE_BITS, HOST, of_node, of_pods};
use super::node::COUNT;
use crate::command::run;

/// A bridge on this machine; removed when this is dropped, with the ends of the nodes' links.
pub struct Bridge;

impl Bridge {
    /// Makes it.
    ///
    /// # Errors
    /// There is one, or iproute2 is missing.
    pub fn new() -> Result<Self> {
        run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
        let bridge = Self;
        run("ip", &["address", "add", &format!("{HOST}/{BRIDGE_BITS}"), "dev", BRIDGE])?;
        run("ip", &["link", "set", BRIDGE, "up"])?;
        Ok(bridge)
    }

    /// Connects a node, whose first process is `pid`, by its interface `eth0`; and makes its pods reachable.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn connect(&self, node: u8, pid: u32) -> Result<()> {
        let link = link(node);
        let pid = pid.to_string();
        // One of before may still be on its way out.
        let _ = run("ip", &["link", "delete", &link]);
        run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        run("ip", &["link", "set", &link, "master", BRIDGE, "up"])?;
        run("ip", &["route", "replace", &of_pods(node), "via", &of_node(node).to_string()])?;
        Ok(())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        remove();
    }
}

/// Removes what there is of them.
pub fn remove() {
    // The kernel removes a node's link with the node, but some time after.
    for link in (1..=COUNT).map(link).chain([BRIDGE.to_owned()]) {
        let _ = run("ip", &["link", "delete", &link]);
    }
}

/// This machine's end of a node's link.
fn link(node: u8) -> String {
    format!("{BRIDGE}-{node}")
}
