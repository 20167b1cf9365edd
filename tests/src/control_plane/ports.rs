//! Ports of the loopback for servers that must come back on the same one.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Below the range that the system takes ports of clients from (32768 to 60999, ip(7)): thousands of polls would else
/// take the port of a server that is down for a moment.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Locks are held through this directory, so that tests of all programs agree.
const LOCKS: &str = "/run/crik-tests-ports";

/// A port that nobody else in the harness gets as long as this lives.
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// One on which nothing listens.
    ///
    /// # Errors
    /// There is none, or locks cannot be held.
    pub fn take() -> Result<Self> {
        fs::create_dir_all(LOCKS)?;
        RANGE.into_iter().find_map(Self::try_take).context("no port of the harness is free")
    }

    fn try_take(number: u16) -> Option<Self> {
        let lock = File::create(Path::new(LOCKS).join(number.to_string())).ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind(("0.0.0.0", number)).ok()?;
        Some(Self { number, _lock: lock })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
