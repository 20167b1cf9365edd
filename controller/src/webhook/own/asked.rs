//! One question to the API server, and why there is no answer.

use thiserror::Error;
use tokio::time::timeout;

use crate::base::causes::with_causes;
use crate::base::limits;

/// Why a step has failed.
#[derive(Debug, Error)]
pub enum Problem {
    /// There is no answer.
    #[error("the API server does not answer")]
    Late,
    /// The object was changed since it was read.
    #[error("another replica has changed it meanwhile")]
    Conflict,
    /// It refuses, or cannot be asked.
    #[error("{0}")]
    Refused(String),
}

/// The answer of the API server, unless it takes too long.
///
/// # Errors
/// It does, or the API server refuses.
pub async fn asked<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T, Problem> {
    match timeout(limits::CERTIFICATE_TIMEOUT, question).await {
        Err(_) => Err(Problem::Late),
        Ok(Err(kube::Error::Api(status))) if status.is_conflict() => Err(Problem::Conflict),
        Ok(answer) => answer.map_err(|error| Problem::Refused(with_causes(&error))),
    }
}
