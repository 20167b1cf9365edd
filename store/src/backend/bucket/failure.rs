//! How a bucket refuses a request.

use std::io;
use std::time::Duration;

use object_store::Error;

use crate::base::retry::{Outlook, Unserved};

/// Why a request was not done, or its answer not had.
#[derive(Debug)]
pub enum Failure {
    /// There is no such object.
    Missing,
    /// It is another one than it was thought to be.
    Conflict,
    /// It is the same as before.
    Unchanged,
    /// Another reason.
    Unserved(Unserved),
}

impl Failure {
    /// No answer came in this time.
    pub fn silent(limit: Duration) -> Self {
        Self::Unserved(Unserved {
            told: format!("the bucket gave no answer within {} s", limit.as_secs_f64()),
            outlook: Outlook::MayPass,
        })
    }

    /// What cannot be done at all, for this reason.
    pub fn lasting(told: &str) -> Self {
        Self::Unserved(Unserved { told: told.to_owned(), outlook: Outlook::Lasting })
    }

    /// Whether the same request may work if it is made again, or be done already.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unserved(Unserved { outlook: Outlook::MayPass, .. }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let outlook = match &error {
            Error::NotFound { .. } => return Self::Missing,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => return Self::Conflict,
            Error::NotModified { .. } => return Self::Unchanged,
            Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::InvalidPath { .. } => Outlook::Lasting,
            _ => Outlook::MayPass,
        };
        Self::Unserved(Unserved { told: error.to_string(), outlook })
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing => {
                Self::new(io::ErrorKind::InvalidData, "an object of the image directory is missing")
            }
            Failure::Conflict | Failure::Unchanged => Self::other("the bucket contradicts itself"),
            Failure::Unserved(unserved) => Self::other(unserved),
        }
    }
}
