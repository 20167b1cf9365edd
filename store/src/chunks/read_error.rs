//! Why what was stored cannot be given as it was.

use std::io;

use thiserror::Error;

use crate::base::retry::{HasOutlook, Outlook};

/// Why a stream is not what it was.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The checkpoint has none of this name.
    #[error("it has no {0}")]
    Absent(String),
    /// A pack cannot be read.
    #[error("its {stream} cannot be read: pack {pack}: {source}")]
    Pack {
        /// The stream.
        stream: String,
        /// The pack.
        pack: String,
        /// Why not.
        source: io::Error,
    },
    /// A chunk is another one.
    #[error("its {stream} was altered after the commit (a chunk of pack {pack} is not what it is called)")]
    Altered {
        /// The stream.
        stream: String,
        /// The pack.
        pack: String,
    },
    /// It is sealed with something that there is nothing of.
    #[error("its {stream} is sealed with a secret that its manifest does not tell")]
    NoSecret {
        /// The stream.
        stream: String,
    },
    /// Who was to get it does not take it.
    #[error("its {stream} cannot be handed on: {source}")]
    Taker {
        /// The stream.
        stream: String,
        /// Why not.
        source: io::Error,
    },
}

impl ReadError {
    /// As an error of a file would be classified.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Pack { source, .. } | Self::Taker { source, .. } => source.kind(),
            Self::Absent(_) => io::ErrorKind::NotFound,
            Self::Altered { .. } | Self::NoSecret { .. } => io::ErrorKind::InvalidData,
        }
    }

    /// Whether it is only that nobody takes it.
    pub fn is_of_the_taker(&self) -> bool {
        matches!(self, Self::Taker { .. })
    }
}

impl HasOutlook for ReadError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Pack { source, .. } => source.outlook(),
            _ => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Pack { source, .. } if source.is_of_the_volume())
    }
}
