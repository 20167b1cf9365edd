//! Reads CRIU's log while it dumps.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::call::log_file;

/// What CRIU says when every process of the tree is stopped, and it begins to write the first (cr-dump.c).
const FROZEN: &[u8] = b"Dumping task (pid:";

/// The log of the dump that is under way.
pub struct DumpLog {
    file: File,
    read: u64,
    frozen: bool,
}

impl DumpLog {
    /// None if there is no dump.
    pub fn follow() -> Option<Self> {
        Some(Self { file: log_file()?, read: 0, frozen: false })
    }

    /// Whether it says that the tree is frozen. If it says so in other words, nobody learns it.
    pub fn has_frozen(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        while !self.frozen {
            // CRIU has opened the file for itself, so nothing here moves its place in it.
            let read = self.file.read_at(&mut buffer, self.read).unwrap_or_default();
            if read < FROZEN.len() {
                break;
            }
            self.frozen = buffer[..read].windows(FROZEN.len()).any(|window| window == FROZEN);
            // The words may be cut.
            self.read += (read - FROZEN.len() + 1) as u64;
        }
        self.frozen
    }
}
