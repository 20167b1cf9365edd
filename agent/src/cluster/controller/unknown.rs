//! Why a node's state is not known, in words that say what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crik_api::ErrorBody;
use hyper::{Response, StatusCode, header};
use thiserror::Error;

use crate::base::limits;

/// Why the node's state is not known.
#[derive(Debug, Error)]
pub enum Unknown {
    /// Nothing was asked yet.
    #[error("the controller has not answered yet")]
    NotYet,
    /// The pod does not know its node.
    #[error(
        "the environment variable {} is not set; set it in the pod spec from spec.nodeName (downward API)",
        limits::NODE_NAME_VARIABLE
    )]
    NoNodeName,
    /// The URL cannot be used.
    #[error("nodeStateServerURL {0}")]
    Url(String),
    /// The controller's name has no address.
    #[error("the controller does not answer: {host} has no address: {source}")]
    Unresolved {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The controller cannot be reached, or the answer does not come.
    #[error("the controller does not answer: {0}")]
    Unreachable(String),
    /// There is no safe connection to it.
    #[error("the controller cannot be trusted: {0}")]
    Tls(String),
    /// The authorities that vouch for it cannot be read.
    #[error("nodeStateServerCAFile {path} cannot be used: {problem}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// There is no token to show.
    #[error(
        "nodeStateServerTokenFile {path} cannot be used: {problem}; mount a projected ServiceAccount token there \
         (volumes.projected.sources.serviceAccountToken, audience crik)"
    )]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// It answers that it cannot or will not tell.
    #[error("{0}")]
    Refused(Refusal),
    /// It answers something else.
    #[error("the controller's answer is not a node state: {0}")]
    Garbage(String),
}

/// An answer other than 200.
#[derive(Debug)]
pub struct Refusal {
    /// Its status.
    pub status: StatusCode,
    /// What the controller says about it, on one line.
    pub said: String,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether a token was shown.
    pub with_token: bool,
}

impl Refusal {
    /// Reads it from an answer.
    pub fn read(head: &Response<()>, body: &[u8], with_token: bool) -> Self {
        let seconds =
            head.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Self {
            status: head.status(),
            said: serde_json::from_slice(body)
                .map_or_else(|_| String::new(), |said: ErrorBody| tame(&said.error)),
            retry_after: seconds.map(|seconds| Duration::from_secs(seconds).min(limits::RETRY_AFTER_MAX)),
            with_token,
        }
    }

    fn remedy(&self) -> &'static str {
        match (self.status.as_u16(), self.with_token) {
            (401, false) => {
                "; it wants a token: set nodeStateServerTokenFile to a projected ServiceAccount token with audience crik"
            }
            (401, true) => {
                "; the audience of the token in nodeStateServerTokenFile must be the controller's, crik unless it was told another"
            }
            (403, _) => {
                "; the token must be this pod's own, and KUBERNETES_NODE_NAME must come from spec.nodeName"
            }
            (404 | 300..=399, _) => "; is nodeStateServerURL the controller's address?",
            (429 | 503, _) => "; it is asked again",
            _ => "",
        }
    }
}

/// What comes from elsewhere is kept to one line of the log.
fn tame(said: &str) -> String {
    said.chars().filter(|c| !c.is_control()).take(limits::SAID_MAX_CHARS).collect()
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the controller answers {}", self.status)?;
        if !self.said.is_empty() {
            write!(f, ": {}", self.said)?;
        }
        f.write_str(self.remedy())
    }
}

impl Unknown {
    /// Whether a person would do the same about both. Two replicas that are gone differ in their addresses alone, and are
    /// asked in turn.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused(one), Self::Refused(other)) => one.to_string() == other.to_string(),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// How long the controller wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_that_are_gone_are_alike_and_another_reason_is_not() {
        let gone = |address: &str| Unknown::Unreachable(format!("{address}: Connection refused"));
        assert!(gone("10.0.0.1:9376").is_like(&gone("10.0.0.2:9376")));
        assert!(!gone("10.0.0.1:9376").is_like(&Unknown::Tls("no certificate".to_owned())));
        assert!(!Unknown::NotYet.is_like(&gone("10.0.0.1:9376")));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = |status, said: &str, with_token| {
            let status = StatusCode::from_u16(status).unwrap();
            Unknown::Refused(Refusal { status, said: said.to_owned(), retry_after: None, with_token })
                .to_string()
        };
        assert!(refused(401, "no token", false).contains("401 Unauthorized: no token; it wants a token"));
        assert!(refused(401, "", true).contains("must be the controller's"));
        assert!(refused(403, "", true).contains("spec.nodeName"));
        assert!(refused(503, "", false).ends_with("503 Service Unavailable; it is asked again"));
        assert!(refused(302, "", false).contains("is nodeStateServerURL"));
        assert_eq!(refused(500, "", false), "the controller answers 500 Internal Server Error");
    }
}
