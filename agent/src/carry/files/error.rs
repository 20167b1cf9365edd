//! Why files cannot go along, or not be put back.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::edit::{Edit, Place, quoted};
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::units;

/// Why the files of the container do not go along. There is then no checkpoint: the program could not go on without them.
#[derive(Debug, Error)]
pub enum CarryError {
    /// A file cannot be read or not be written to the volume.
    #[error("cannot take along {path}: {source}; see carry.exclude and additionalPaths")]
    Take {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is more than may go along.
    #[error(
        "{} of the container's files would have to go along, and carry.maxBytes is {}; the largest are {}; raise it, or name in \
         carry.exclude what the program can do without",
        units::bytes(*.found),
        units::bytes(*.allowed),
        .largest
    )]
    TooMuch {
        /// Bytes that would go along.
        found: u64,
        /// Bytes that may.
        allowed: u64,
        /// What the most of it is.
        largest: String,
    },
    /// Nobody waits any more.
    #[error("the checkpoint was given up while files were taken along")]
    GivenUp,
    /// A defect.
    #[error("internal error: {0}")]
    Broken(String),
}

impl CarryError {
    /// What to write for it.
    #[must_use]
    pub fn edit(&self) -> Option<Edit> {
        match self {
            Self::TooMuch { found, .. } => {
                Some(Edit::new(Place::Config, format!("carry: {{maxBytes: {}}}", found.next_power_of_two())))
            }
            Self::Take { path, .. } => {
                let path = quoted(&path.to_string_lossy());
                Some(Edit::new(Place::Config, format!("carry: {{exclude: [{path}]}}")))
            }
            Self::GivenUp | Self::Broken(_) => None,
        }
    }
}

/// A file that cannot be put back.
#[derive(Debug, Error)]
#[error("cannot put back {path}: {source}")]
pub struct PutBackError {
    /// The path.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl HasOutlook for CarryError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Take { source, .. } => source.outlook(),
            Self::TooMuch { .. } | Self::GivenUp | Self::Broken(_) => Outlook::Lasting,
        }
    }
}

impl HasOutlook for PutBackError {
    fn outlook(&self) -> Outlook {
        self.source.outlook()
    }
}

/// Gives an I/O error its path.
pub fn taking(path: &Path) -> impl Fn(io::Error) -> CarryError + use<> {
    let path = path.to_owned();
    move |source| CarryError::Take { path: path.clone(), source }
}

/// Gives an I/O error its path.
pub fn putting(path: &Path) -> impl Fn(io::Error) -> PutBackError + use<> {
    let path = path.to_owned();
    move |source| PutBackError { path: path.clone(), source }
}
