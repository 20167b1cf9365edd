//! Why a report is not taken, in words that say what to do.

use thiserror::Error;

use super::of::Of;
use crate::base::causes::with_causes;

/// Why a report is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotTaken {
    /// The pod tells too much.
    #[error("this pod reports too often; tell it again later")]
    TooOften,
    /// There is no such pod.
    #[error("the pod of this token is gone: {namespace}/{name} is another one now, or none")]
    Gone {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The controller may not do it.
    #[error(
        "the controller may not write what is reported; give its ServiceAccount the verbs get on pods and patch on \
         pods/status, or leave out --reports"
    )]
    Forbidden,
    /// Too many are taken at the moment.
    #[error("too many reports are being taken here; tell it again")]
    Busy,
    /// The API server cannot be asked.
    #[error("the report cannot be taken now: {0}; tell it again")]
    Unavailable(String),
}

impl NotTaken {
    /// The word for it in metrics.
    pub fn result(&self) -> &'static str {
        match self {
            Self::TooOften => "too-often",
            Self::Gone { .. } => "gone",
            Self::Forbidden => "forbidden",
            Self::Busy => "busy",
            Self::Unavailable(_) => "failed",
        }
    }
}

/// That the pod is not there any more.
pub fn gone(of: &Of) -> NotTaken {
    NotTaken::Gone { namespace: of.namespace.clone(), name: of.name.clone() }
}

/// What the API server's answer means for the report.
pub fn explain(error: &kube::Error, of: &Of) -> NotTaken {
    match error {
        kube::Error::Api(status) if status.code == 404 => gone(of),
        kube::Error::Api(status) if status.code == 403 => NotTaken::Forbidden,
        kube::Error::Api(status) => NotTaken::Unavailable(format!("the API server says: {}", status.message)),
        error => NotTaken::Unavailable(with_causes(error)),
    }
}
