//! The version of all that the index tells.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// Tells one state of all nodes from the one before, and from those that another process tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Of which process.
    pub(super) epoch: u64,
    /// The number of the last change.
    pub(super) change: u64,
}

impl Version {
    /// Whether it has all that the other one has. Both are of this process.
    pub fn is_as_new_as(self, other: Self) -> bool {
        self.change >= other.change
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.change)
    }
}

impl FromStr for Version {
    type Err = ParseIntError;

    /// Reads what it is written as.
    fn from_str(word: &str) -> Result<Self, ParseIntError> {
        let (epoch, change) = word.split_once('-').unwrap_or((word, ""));
        Ok(Self { epoch: u64::from_str_radix(epoch, 16)?, change: change.parse()? })
    }
}
