//! Why CRIU did not do what it was asked for.

use std::io;

use thiserror::Error;

use super::advice::{advice, first_error, known, last_lines};
use crate::base::limits::{self, CriuVersion};
use crate::base::retry::{HasOutlook, Outlook, outlook_of_message};

/// Why CRIU did not do it.
#[derive(Debug, Error)]
pub enum CriuError {
    /// The program is not there.
    #[error("criu cannot be run ({0}); install criu {min} or newer in the container", min = limits::OLDEST_CRIU)]
    Missing(String),
    /// It is, but too old.
    #[error("criu is {0}, and {min} or newer is needed; install it in the container", min = limits::OLDEST_CRIU)]
    TooOld(CriuVersion),
    /// It refused; what its log says first.
    #[error("criu failed: {first}{advice}", advice = advice(first))]
    Refused {
        /// The first error in its log, or what the library says.
        first: String,
    },
    /// Nobody waits for it any more.
    #[error("it was given up before criu was asked")]
    GivenUp,
    /// The pages of memory could not be kept, or not be given.
    #[error("the program's memory: {0}")]
    Pages(io::Error),
    /// What it needs could not be prepared.
    #[error("cannot {what} for criu: {source}")]
    Prepare {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl HasOutlook for CriuError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Refused { first } => outlook_of_message(first),
            Self::Pages(source) | Self::Prepare { source, .. } => source.outlook(),
            Self::Missing(_) | Self::TooOld(_) | Self::GivenUp => Outlook::Lasting,
        }
    }
}

/// What a log says of a call that failed, or else the library. Of an error about which nothing is known the log's end is told too.
pub fn refused(log: &[u8], error: &dyn std::fmt::Display) -> CriuError {
    let first = first_error(log).unwrap_or_else(|| error.to_string());
    if known(&first).is_none() {
        last_lines(log).iter().for_each(|line| tracing::warn!(step = "criu", "{line}"));
    }
    CriuError::Refused { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_log_is_the_one_that_is_told() {
        let text = "(00.001) Dumping\n(00.010) Error (criu/io_uring.c:1): Can't dump anon_inode:[io_uring]\n\
                    (00.011) Error (criu/cr-dump.c:2): Dumping FAILED.\n";
        let error = refused(text.as_bytes(), &rust_criu::CriuError::VersionParse).to_string();
        let told = "criu failed: Can't dump anon_inode:[io_uring] — the program uses io_uring, which CRIU cannot dump: ";
        assert_eq!(error, format!("{told}{}", crate::tree::process::remedies::ring!()));
    }

    #[test]
    fn without_a_log_the_library_speaks() {
        let error = refused(b"", &rust_criu::CriuError::VersionParse);
        assert!(error.to_string().contains("version"));
    }
}
