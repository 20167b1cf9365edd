//! Why a generation was left, and what that means for the next one.

use std::fmt::Display;

use crate::base::bounded_step::{Abandoned, StepError};
use crate::base::retry::HasOutlook;

/// Why a generation was left.
pub enum Failure {
    /// For a reason of its own; the next one may work.
    Skip(String),
    /// The volume cannot be read or written, which says nothing of this generation, and holds for the next one.
    Unread(String),
    /// The pod was told to stop.
    Stopped(i32),
}

impl From<Abandoned> for Failure {
    fn from(abandoned: Abandoned) -> Self {
        match abandoned {
            Abandoned::Signal(signal) => Self::Stopped(signal.number),
            Abandoned::NoAnswer(_) => Self::Unread(abandoned.to_string()),
            Abandoned::Broken(_) => Self::Skip(abandoned.to_string()),
        }
    }
}

impl<E: HasOutlook + Display> From<StepError<E>> for Failure {
    fn from(error: StepError<E>) -> Self {
        match error {
            StepError::Failed(error) if error.is_of_the_volume() => Self::Unread(error.to_string()),
            StepError::Failed(error) => Self::Skip(error.to_string()),
            StepError::Abandoned(abandoned) => abandoned.into(),
        }
    }
}
