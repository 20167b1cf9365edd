//! Errors with what caused them.

use std::error::Error;
use std::iter::successors;

/// The error with what caused it, since the outermost says only that a list failed. Some repeat their cause.
pub fn with_causes(error: &dyn Error) -> String {
    let causes = successors(error.source(), |&cause| cause.source()).map(ToString::to_string);
    causes.fold(
        error.to_string(),
        |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") },
    )
}
