//! What a checkpoint of a workload took.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

/// What the cycles of a workload took: the worst of each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// From the stop to the container's end.
    pub stop: Duration,
    /// From the container's start to the program's going on.
    pub start: Duration,
    /// Bytes of the checkpoint on the volume.
    pub size: u64,
}

impl Figures {
    /// The worse of two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            stop: self.stop.max(other.stop),
            start: self.start.max(other.start),
            size: self.size.max(other.size),
        }
    }
}

/// The bytes of all files in a directory.
pub(super) fn size(directory: &Path) -> Result<u64> {
    std::fs::read_dir(directory)?.try_fold(0, |sum, entry| {
        let entry = entry?;
        let metadata = entry.metadata()?;
        Ok(sum + if metadata.is_dir() { size(&entry.path())? } else { metadata.len() })
    })
}
