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
    /// The API server will never take it.
    #[error("the API server does not take what this report changes on the pod: {0}; it is left out")]
    Unwritable(String),
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
            Self::Unwritable(_) => "unwritable",
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
        kube::Error::Api(status) if matches!(status.code, 400 | 413 | 422) => {
            NotTaken::Unwritable(status.message.clone())
        }
        kube::Error::Api(status) => NotTaken::Unavailable(format!("the API server says: {}", status.message)),
        error => NotTaken::Unavailable(with_causes(error)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_api_server_will_never_take_is_not_told_again() {
        let of = Of { namespace: "n".to_owned(), name: "a".to_owned(), uid: "u".to_owned() };
        for (code, expected) in [
            (400, "unwritable"),
            (413, "unwritable"),
            (422, "unwritable"),
            (403, "forbidden"),
            (404, "gone"),
            (429, "failed"),
            (500, "failed"),
        ] {
            let status = Status { code, ..Status::failure("no", "") };
            assert_eq!(explain(&kube::Error::Api(Box::new(status)), &of).result(), expected, "{code}");
        }
    }
}
