//! Why an image directory cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::retry::{HasOutlook, Outlook};
use thiserror::Error;

/// Why the image directory cannot be used.
#[derive(Debug, Error)]
pub enum ImageDirError {
    /// What should hold the image directory is not there.
    #[error("imageDir {path}: {parent} does not exist; mount the checkpoint volume there")]
    NoParent {
        /// The image directory.
        path: PathBuf,
        /// The directory that is missing.
        parent: PathBuf,
    },
    /// Another pod took the image directory over, since this one gave no sign of life for too long.
    #[error("the image directory is held by {0} now, which took it over; nothing more is written from here")]
    Lost(String),
    /// A part of it leads elsewhere.
    #[error("{0} is a symbolic link, and crik follows none there; remove it")]
    Link(PathBuf),
    /// It is there, and used for something else.
    #[error(
        "imageDir {path} has something in it that is not crik's ({name}); give crik a directory of its own, such as {path}/crik-${{POD_NAME}}"
    )]
    Occupied {
        /// The image directory.
        path: PathBuf,
        /// What is in it.
        name: String,
    },
    /// A person looks for one that is not there.
    #[error(
        "there is no image directory {0}: no pod has run with it yet, or the volume is not mounted here; see --image-dir"
    )]
    Absent(PathBuf),
    /// It is there, but nothing of crik's is in it.
    #[error("{0} is no image directory of crik: it has no generations/; see --image-dir")]
    Foreign(PathBuf),
    /// Somebody has made one of a number that no workload reaches.
    #[error("{0} has no number left; remove what has the highest one, which crik has not made")]
    NoNumber(PathBuf),
    /// It is not there, and cannot be made.
    #[error("cannot create {path}: {source}")]
    Unmade {
        /// The image directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of crik's is not what crik writes.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An operation on the volume failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl HasOutlook for ImageDirError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Io { source, .. } | Self::Unmade { source, .. } => source.outlook(),
            _ => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.is_of_the_volume())
    }
}

/// Gives an I/O error its operation and path.
pub fn io_at<'p>(what: &'static str, path: &'p Path) -> impl Fn(io::Error) -> ImageDirError + 'p {
    move |source| ImageDirError::Io { what, path: path.into(), source }
}
