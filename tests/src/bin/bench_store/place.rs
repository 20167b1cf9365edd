//! Where the checkpoints go.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;
use crik_tests::pod::Running;
use crik_tests::throttled::ThrottledVolume;
use crik_tests::volume::Volume;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

/// What a network disk of a usual size takes and gives.
const BYTES_PER_SECOND: u64 = 150_000_000;

/// A volume.
pub enum Place {
    /// As slow as a network disk.
    Slow(ThrottledVolume),
    /// The machine's own disk.
    Fast(Volume),
}

impl Place {
    /// A slow one on which two images of a program with so much memory have room.
    ///
    /// # Errors
    /// This machine cannot have it.
    pub fn slow(megabytes: u32) -> Result<Self> {
        Ok(Self::Slow(ThrottledVolume::new(megabytes * 9 / 4 + 512, BYTES_PER_SECOND)?))
    }

    /// The machine's own.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn fast() -> Result<Self> {
        Ok(Self::Fast(Volume::new()?))
    }

    /// What pods see.
    pub fn volume(&self) -> &Volume {
        match self {
            Self::Slow(throttled) => &throttled.volume,
            Self::Fast(volume) => volume,
        }
    }

    /// What is to be done for a container that was just started.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn started(&self, running: &Running) -> Result<()> {
        match self {
            Self::Slow(throttled) => throttled.hold_up(running),
            Self::Fast(_) => Ok(()),
        }
    }

    /// Takes all of it out of the page cache, as it is on another node.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn forget(&self) -> Result<()> {
        nix::unistd::sync();
        forget(self.volume().path())
    }
}

fn forget(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            forget(&entry.path())?;
        } else if kind.is_file() {
            posix_fadvise(File::open(entry.path())?, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
    }
    Ok(())
}
