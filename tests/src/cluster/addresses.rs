//! Which addresses the cluster has. They are fixed: there is one cluster on a machine at a time.

use std::net::Ipv4Addr;

/// The link on this machine that all nodes are connected to. This machine's end of it serves the API server and DNS.
pub const BRIDGE: &str = "crik0";

/// This machine's address on the bridge.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 1);

/// How many bits of [`HOST`] and of a node's address are the bridge's.
pub const BRIDGE_BITS: u8 = 24;

/// All pods of all nodes.
pub const PODS: &str = "10.241.0.0/16";

/// A node's address on the bridge; nodes are numbered from 1.
pub fn of_node(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 240, 0, 10 + number)
}

/// The subnet of a node's pods.
pub fn of_pods(number: u8) -> String {
    format!("10.241.{number}.0/24")
}
