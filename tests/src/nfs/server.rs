//! The server, as a test in the machine has it in hand.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};

use super::Client;
use crate::command::run;
use crate::volume::{PodCount, Volume};

/// Where it serves, for clients on links of their own (RFC 6598: a range that no pod has).
pub(super) const ADDRESS: &str = "100.127.0.1";

/// Says whether the grace period is over, and ends it (fs/nfsd/nfsctl.c).
const GRACE_ENDED: &str = "/proc/fs/nfsd/v4_end_grace";

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
    pub fn path(&self) -> &Path {
        &self.dir
    }
}

/// The grace period of a server that has just been started again, which is 90 s long: every OPEN waits but those of files that
/// were open before. It would be over as soon as all clients are back, so there is one that is lost. It ends at the latest when
/// this is dropped.
pub struct Grace {
    _volume: Volume,
    lost: Client,
}

impl Grace {
    /// Starts the server again.
    ///
    /// # Errors
    /// It does not stop or start, or has no such period.
    pub fn begin() -> Result<Self> {
        let lost = Client::new()?;
        let volume = Share::new(Export::NoRootSquash)?.seen_by(&lost)?;
        lost.cut_off()?;
        run("rpc.nfsd", &["0"])?;
        run("rpc.nfsd", &["--no-nfs-version", "3", "4"])?;
        let grace = Self { _volume: volume, lost };
        ensure!(grace.lasts()?, "the server has started without a grace period");
        Ok(grace)
    }

    /// True until it is over.
    ///
    /// # Errors
    /// The server does not say so.
    pub fn lasts(&self) -> Result<bool> {
        Ok(fs::read_to_string(GRACE_ENDED)?.trim() == "N")
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
        // Refused if it is over.
        let _ = end();
        let _ = self.lost.connect();
    }
}

fn end() -> Result<()> {
    fs::write(GRACE_ENDED, "Y\n").context("the server does not end its grace period")
}
