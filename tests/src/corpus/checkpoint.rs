//! What the checkpoints of a workload took.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// What the cycles of a workload took: the worst of each.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Of the program as it was started: from the SIGTERM to the container's end.
    pub preempted: Duration,
    /// From the container's start to the program's going on.
    pub resumed: Duration,
    /// Of what was resumed: from the SIGTERM to the container's end.
    pub preempted_again: Duration,
    /// Bytes of the checkpoint on the volume.
    pub size: u64,
}

impl Figures {
    /// The worse of two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        Self {
            preempted: self.preempted.max(other.preempted),
            resumed: self.resumed.max(other.resumed),
            preempted_again: self.preempted_again.max(other.preempted_again),
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
