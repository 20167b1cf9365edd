//! A file system that mirrors a directory and fails on demand.

mod faults;
mod mirror;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use fuser::{BackgroundSession, Config, MountOption, SessionACL};

pub use faults::{Fault, Faults, Manners, Op};
use mirror::Mirror;

/// A mounted mirror. It is unmounted when this is dropped, whatever still hangs in it.
pub struct Faulty {
    /// What fails.
    pub faults: Arc<Faults>,
    session: Option<BackgroundSession>,
}

impl Faulty {
    /// Shows the directory `backing` at the directory `mountpoint`.
    ///
    /// # Errors
    /// There is no FUSE here, or it cannot be mounted.
    pub fn mount(backing: &Path, mountpoint: &Path) -> Result<Self> {
        // One thread, so that what hangs holds up everything, as a server does that does not answer.
        Self::mount_with(backing, mountpoint, 1)
    }

    /// The same with a server that does as many operations at the same time as it is asked for. It is none that could hang.
    ///
    /// # Errors
    /// There is no FUSE here, or it cannot be mounted.
    pub fn mount_wide(backing: &Path, mountpoint: &Path) -> Result<Self> {
        const MANY: usize = 64;
        Self::mount_with(backing, mountpoint, MANY)
    }

    fn mount_with(backing: &Path, mountpoint: &Path, threads: usize) -> Result<Self> {
        let faults = Arc::<Faults>::default();
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("crik-faulty".to_owned()), MountOption::DefaultPermissions];
        config.acl = SessionACL::All;
        config.n_threads = Some(threads);
        let mirror = Mirror::new(backing, Arc::clone(&faults))?;
        let session =
            fuser::spawn_mount(mirror, mountpoint, &config).context("cannot mount a FUSE file system")?;
        Ok(Self { faults, session: Some(session) })
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.faults.clear();
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}
