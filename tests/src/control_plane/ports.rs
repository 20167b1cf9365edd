//! Ports of the loopback for servers that must come back on the same one.

use std::net::TcpListener;

use anyhow::Result;

use crate::harness::claim::Claim;

/// Below the range that the system takes ports of clients from (32768 to 60999, ip(7)): thousands of polls would else
/// take the port of a server that is down for a moment.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that nobody else in the harness gets as long as this lives.
pub struct Port(Claim);

impl Port {
    /// One on which nothing listens.
    ///
    /// # Errors
    /// There is none, or locks cannot be held.
    pub fn take() -> Result<Self> {
        let free = |number| TcpListener::bind(("0.0.0.0", number)).is_ok();
        Ok(Self(Claim::first("ports", RANGE, free)?))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.0.number()
    }
}
