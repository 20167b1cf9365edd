//! The server, as a test in the machine has it in hand.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::Client;
use crate::command::run;
use crate::volume::{PodCount, Volume};

/// Where it serves, for clients on links of their own (RFC 6598: a range that no pod has).
pub(super) const ADDRESS: &str = "100.127.0.1";

/// What the root user of a client is on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// The root user.
    NoRootSquash,
    /// Nobody, as exports(5) has it by default and as file systems of clouds have it behind access points.
    RootSquash,
}

/// Who the root user of a client is with `root_squash`, if exports(5) names nobody else.
const NOBODY: u32 = 65534;

/// A directory that is served: what a volume is made from.
pub struct Share {
    dir: PathBuf,
    pods: PodCount,
}

impl Share {
    /// An empty one, which belongs to whom the root user of a client is.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(export: Export) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (exported, owner) = match export {
            Export::NoRootSquash => ("/srv/no_root_squash", 0),
            Export::RootSquash => ("/srv/root_squash", NOBODY),
        };
        let name = format!("{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = PathBuf::from(exported).join(name);
        fs::create_dir(&dir)?;
        chown(&dir, Some(owner), Some(owner))?;
        Ok(Self { dir, pods: PodCount::default() })
    }

    /// As one client has it mounted.
    ///
    /// # Errors
    /// It cannot be mounted.
    pub fn seen_by(&self, client: &Client) -> Result<Volume> {
        let from = format!("{ADDRESS}:{}", self.dir.display());
        Volume::mounted(self.pods.clone(), |to| client.mount(&from, to))
    }

    /// As it is on the server.
    pub fn path(&self) -> &std::path::Path {
        &self.dir
    }
}

/// A server that has just been started again: until its grace period is over, which is 90 s long, every OPEN waits but those
/// of files that were open before. The period ends at the latest when this is dropped.
pub struct Grace(());

/// Stops the server. What clients ask meanwhile waits.
///
/// # Errors
/// It does not stop.
pub fn stop() -> Result<()> {
    run("rpc.nfsd", &["0"]).map(drop)
}

impl Grace {
    /// Starts the server, after it was stopped, or stops it first.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin() -> Result<Self> {
        stop()?;
        run("rpc.nfsd", &["--no-nfs-version", "3", "4"])?;
        Ok(Self(()))
    }

    /// Ends the period before its time.
    ///
    /// # Errors
    /// The server is not there.
    pub fn end(self) -> Result<()> {
        end()
    }
}

impl Drop for Grace {
    fn drop(&mut self) {
        let _ = end();
    }
}

fn end() -> Result<()> {
    fs::write("/proc/fs/nfsd/v4_end_grace", "Y\n").context("the server does not end its grace period")
}
