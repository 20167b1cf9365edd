//! Why files that a tree has open cannot be brought back to what it remembers.

use std::io;
use std::path::{Path, PathBuf};

use crik_store::image_dir::ImageDirError;
use thiserror::Error;

use crate::base::retry::{HasOutlook, Outlook};
use crate::base::units;

/// Why the files of the volumes are not those that the tree had open. Completes «generation N is skipped: …».
#[derive(Debug, Error)]
pub enum OpenFileError {
    /// One is not there.
    #[error("{0}, which the program had open, is not there; mount the volume that has it, or put it back")]
    Missing(PathBuf),
    /// Something else has its name.
    #[error("{0}, which the program had open, is no regular file any more; put it back as it was")]
    Replaced(PathBuf),
    /// One is shorter.
    #[error("{path} has {found} bytes, and {expected} when the program had it open; put it back as it was")]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Its length now.
        found: u64,
        /// Its length at the checkpoint.
        expected: u64,
    },
    /// One that is only read is another one.
    #[error(
        "{0}, which the program had open to read, was changed since; put it back as it was, or see changedFiles"
    )]
    Changed(PathBuf),
    /// A program is another one.
    #[error("{0}, which the program runs, was changed since; put it back as it was")]
    OtherProgram(PathBuf),
    /// What would be cut cannot be kept.
    #[error(
        "the program has written {} since the checkpoint, which the volume has no room to keep beside it ({} free); make \
         the volume larger",
        units::bytes(*.needed),
        units::bytes(*.free)
    )]
    NoRoom {
        /// Bytes to keep.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A file cannot be looked at, kept or cut.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The image directory fails.
    #[error(transparent)]
    Volume(#[from] ImageDirError),
}

impl HasOutlook for OpenFileError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Io { source, .. } => source.outlook(),
            Self::Volume(error) => error.outlook(),
            _ => Outlook::Lasting,
        }
    }
}

/// Gives an I/O error its operation and path.
pub(super) fn io_at<'p>(what: &'static str, path: &'p Path) -> impl Fn(io::Error) -> OpenFileError + 'p {
    move |source| OpenFileError::Io { what, path: path.into(), source }
}
