//! Why a generation was left, and what that means for the next one.

use crate::base::bounded_step::{Abandoned, StepError};

/// Why a generation was left.
pub enum Failure {
    /// For a reason of its own; the next one may work.
    Skip(String),
    /// The volume does not answer, and would not for the next one.
    NoAnswer(String),
    /// The pod was told to stop.
    Stopped(i32),
}

impl From<Abandoned> for Failure {
    fn from(abandoned: Abandoned) -> Self {
        match abandoned {
            Abandoned::Signal(signal) => Self::Stopped(signal),
            Abandoned::NoAnswer(_) => Self::NoAnswer(abandoned.to_string()),
            Abandoned::Broken(_) => Self::Skip(abandoned.to_string()),
        }
    }
}

impl<E: ToString> From<StepError<E>> for Failure {
    fn from(error: StepError<E>) -> Self {
        match error {
            StepError::Failed(error) => Self::Skip(error.to_string()),
            StepError::Abandoned(abandoned) => abandoned.into(),
        }
    }
}
