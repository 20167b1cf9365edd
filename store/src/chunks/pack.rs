//! A pack: many chunks, one after the other, so that a checkpoint of thousands of files is a few objects on the volume.

use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::backend::large::{Sink, Source};
use crate::base::limits::RANDOM_UUID;

/// The name of a pack, which no other has, on whatever node it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackName(u128);

impl PackName {
    /// A new one.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn random() -> io::Result<Self> {
        let uuid = fs::read_to_string(RANDOM_UUID)?.trim().replace('-', "");
        u128::from_str_radix(&uuid, 16).map(Self).map_err(io::Error::other)
    }
}

impl fmt::Display for PackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<PackName> for String {
    fn from(name: PackName) -> Self {
        name.to_string()
    }
}

/// It is no name of a pack.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{0} is no name of a pack")]
pub struct NoPackName(String);

impl TryFrom<String> for PackName {
    type Error = NoPackName;

    fn try_from(name: String) -> Result<Self, NoPackName> {
        name.parse()
    }
}

impl FromStr for PackName {
    type Err = NoPackName;

    /// Reads a name as it is written; any other is of no pack.
    fn from_str(name: &str) -> Result<Self, NoPackName> {
        let found = u128::from_str_radix(name, 16).ok().map(Self);
        found.filter(|found| found.to_string() == name).ok_or_else(|| NoPackName(name.to_owned()))
    }
}

/// Where packs are kept.
pub trait PackPlace: Send + Sync {
    /// Begins a new one.
    ///
    /// # Errors
    /// It cannot be written.
    fn create(&self, name: PackName) -> io::Result<Box<dyn Sink>>;

    /// Opens one to be read.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn open(&self, name: PackName) -> io::Result<Box<dyn Source>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_no_other_is() {
        let name = PackName::random().unwrap();
        assert_eq!(name.to_string().parse(), Ok(name));
        assert_ne!(PackName::random().unwrap(), name);
        for other in [
            "",
            "7",
            "0000000000000000000000000000000G",
            "+0000000000000000000000000000007",
            "lost+found",
            "0000000000000000000000000000000A",
        ] {
            assert_eq!(other.parse::<PackName>(), Err(NoPackName(other.to_owned())));
        }
    }
}
