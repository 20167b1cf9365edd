//! What an answer says that is not a success: a problem in the form of RFC 9457.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of an [`ErrorBody`] (RFC 9457, section 6.1).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The body of every answer that is not a success. A controller of 0.1.0 sends `error` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was wrong and what to do about it: `detail`, by the name that it had first.
    pub error: String,
    /// The kind of problem, for programs.
    #[serde(default)]
    pub code: ErrorCode,
    /// What the status means, in the words of HTTP.
    #[serde(default)]
    pub title: String,
    /// The answer's status.
    #[serde(default)]
    pub status: u16,
    /// What was wrong and what to do about it.
    #[serde(default)]
    pub detail: String,
}

impl ErrorBody {
    /// One that says `detail`.
    pub fn new(code: ErrorCode, status: u16, title: &str, detail: String) -> Self {
        Self { error: detail.clone(), code, title: title.to_owned(), status, detail }
    }
}

/// The kind of a problem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum ErrorCode {
    /// One that this release does not know, or none was told.
    #[default]
    Unknown,
    /// No node, pod or namespace can have this name.
    InvalidName,
    /// A parameter cannot be what it is.
    InvalidParameter,
    /// What was sent is no request that can be answered.
    InvalidRequest,
    /// There is no token, or it is not good.
    Unauthenticated,
    /// The token is good, and not for this.
    Forbidden,
    /// The controller itself may not read this.
    ControllerForbidden,
    /// There is nothing at this path.
    NoSuchRoute,
    /// There is no such pod, or it is another one by now.
    NoSuchPod,
    /// Nothing is told of pods here.
    PodsNotServed,
    /// No reports are taken here.
    ReportsNotServed,
    /// Nothing is told of workloads here.
    WorkloadsNotServed,
    /// The list that a page belongs to is not kept any more.
    ListExpired,
    /// Another method than the route has.
    MethodNotAllowed,
    /// A request that has a body.
    BodyNotAllowed,
    /// A body that is larger than it may be.
    BodyTooLarge,
    /// The caller asks or tells too often.
    TooManyRequests,
    /// Nothing is known of any node yet.
    NotListed,
    /// As many are served as can be.
    NoRoom,
    /// The process ends soon.
    Stopping,
    /// The API server cannot be asked.
    ApiServerUnavailable,
    /// A fault of the controller's.
    Internal,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Unknown,
        Self::InvalidName,
        Self::InvalidParameter,
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::ControllerForbidden,
        Self::NoSuchRoute,
        Self::NoSuchPod,
        Self::PodsNotServed,
        Self::ReportsNotServed,
        Self::WorkloadsNotServed,
        Self::ListExpired,
        Self::MethodNotAllowed,
        Self::BodyNotAllowed,
        Self::BodyTooLarge,
        Self::TooManyRequests,
        Self::NotListed,
        Self::NoRoom,
        Self::Stopping,
        Self::ApiServerUnavailable,
        Self::Internal,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::InvalidName => "invalid-name",
            Self::InvalidParameter => "invalid-parameter",
            Self::InvalidRequest => "invalid-request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::ControllerForbidden => "controller-forbidden",
            Self::NoSuchRoute => "no-such-route",
            Self::NoSuchPod => "no-such-pod",
            Self::PodsNotServed => "pods-not-served",
            Self::ReportsNotServed => "reports-not-served",
            Self::WorkloadsNotServed => "workloads-not-served",
            Self::ListExpired => "list-expired",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::BodyNotAllowed => "body-not-allowed",
            Self::BodyTooLarge => "body-too-large",
            Self::TooManyRequests => "too-many-requests",
            Self::NotListed => "not-listed",
            Self::NoRoom => "no-room",
            Self::Stopping => "stopping",
            Self::ApiServerUnavailable => "api-server-unavailable",
            Self::Internal => "internal",
        }
    }
}

impl From<String> for ErrorCode {
    /// Reads a word from the wire; one that a later release added is `Unknown` to this one.
    fn from(word: String) -> Self {
        Self::ALL.into_iter().find(|code| code.as_str() == word).unwrap_or_default()
    }
}

impl From<ErrorCode> for &'static str {
    fn from(code: ErrorCode) -> Self {
        code.as_str()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_travels_under_its_own_word_and_a_later_one_is_unknown() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), code);
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"teapot\"").unwrap(), ErrorCode::Unknown);
    }

    #[test]
    fn the_error_of_a_controller_that_tells_no_code_is_read() {
        let body: ErrorBody = serde_json::from_str(r#"{"error":"no token"}"#).unwrap();
        assert_eq!((&*body.error, body.code), ("no token", ErrorCode::Unknown));
    }
}
