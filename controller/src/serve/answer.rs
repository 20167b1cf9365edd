//! Answers that are not a node's state.

use axum::Json;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use crik_api::{ErrorBody, ErrorCode, PROBLEM_JSON};

use crate::auth::Refusal;
use crate::base::{limits, random};
use crate::connections::Full;

/// An error with its remedy.
pub fn error(status: StatusCode, code: ErrorCode, error: impl Into<String>) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = ErrorBody::new(code, status.as_u16(), title, error.into());
    (status, [(CONTENT_TYPE, PROBLEM_JSON)], Json(body)).into_response()
}

/// What is asked for cannot be.
pub fn wrong(code: ErrorCode, problem: impl Into<String>) -> Response {
    error(StatusCode::BAD_REQUEST, code, problem)
}

/// An error that passes.
pub fn later(code: ErrorCode, problem: impl Into<String>) -> Response {
    passing(StatusCode::SERVICE_UNAVAILABLE, code, problem)
}

/// The caller does it too often.
pub fn too_often(problem: impl Into<String>) -> Response {
    passing(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, problem)
}

fn passing(status: StatusCode, code: ErrorCode, problem: impl Into<String>) -> Response {
    let mut response = error(status, code, problem);
    let seconds = random::one_of(limits::RETRY_AFTER_SECONDS);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The first list is not complete, so every state would be wrong.
pub fn not_ready() -> Response {
    later(ErrorCode::NotListed, "the list of nodes is not complete yet; ask again")
}

/// The process ends soon.
pub fn leaving() -> Response {
    later(ErrorCode::Stopping, "this replica is to stop; ask another one")
}

/// Nothing is told of pods.
pub fn no_pods() -> Response {
    let problem = "nothing is told of pods here; that needs --pods=true and --source kubernetes";
    error(StatusCode::NOT_FOUND, ErrorCode::PodsNotServed, problem)
}

/// No reports are taken.
pub fn no_reports() -> Response {
    let problem = "no reports are taken here; that needs --reports and --source kubernetes";
    error(StatusCode::NOT_FOUND, ErrorCode::ReportsNotServed, problem)
}

/// Nothing is told of workloads.
pub fn no_workloads() -> Response {
    let problem = "nothing is told of workloads here; that needs --workloads and --source kubernetes";
    error(StatusCode::NOT_FOUND, ErrorCode::WorkloadsNotServed, problem)
}

/// There is no room for a poll that waits.
pub fn too_many_polls() -> Response {
    let problem =
        "too many polls wait here; ask without wait, ask another replica, or raise --max-waiting-polls";
    later(ErrorCode::NoRoom, problem)
}

/// There is no room for a list or a stream.
pub fn too_many_reads(what: &str, full: Full) -> Response {
    let problem = format!("too many {what} are being read {full}; ask again, or ask another replica");
    later(ErrorCode::NoRoom, problem)
}

/// The list that a page belongs to is not kept any more, or was never here.
pub fn list_expired() -> Response {
    let problem = "the list that this page belongs to is not here: pages have to be asked for soon one after the other, and of one \
                   replica; begin anew without continue";
    error(StatusCode::GONE, ErrorCode::ListExpired, problem)
}

/// There is no room for a connection.
pub async fn no_connection() -> Response {
    later(
        ErrorCode::NoRoom,
        "too many connections are open here, or from your address (--max-connections-per-peer); ask again, or ask \
         another replica",
    )
}

/// An answer that cannot be written, which is a fault of ours.
pub fn broken(why: &str) -> Response {
    let problem = format!("cannot write the answer: {why}; please report this");
    error(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, problem)
}

/// The caller may not have this.
pub fn refused(refusal: &Refusal) -> Response {
    let status = refusal.status();
    let code = match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            return later(ErrorCode::ApiServerUnavailable, refusal.to_string());
        }
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthenticated,
        _ => ErrorCode::Forbidden,
    };
    let mut response = error(status, code, refusal.to_string());
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(refusal.challenge());
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Refuses a request that has a body, and the rest of the connection, which would have to be read for it.
pub fn no_bodies() -> Response {
    last(too_large(ErrorCode::BodyNotAllowed, "nothing but a report may have a body; send none"))
}

/// Refuses a body that is larger than it may be.
pub fn too_large_body() -> Response {
    let problem = format!("a report has {} bytes at most", limits::REPORT_MAX_BYTES);
    last(too_large(ErrorCode::BodyTooLarge, problem))
}

fn too_large(code: ErrorCode, problem: impl Into<String>) -> Response {
    error(StatusCode::PAYLOAD_TOO_LARGE, code, problem)
}

/// The last of its connection, on which a body is left that is not read.
pub fn last(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Gives the framework's bare refusal of a method a body.
pub fn explain(response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let allowed = allow.as_ref().and_then(|allow| allow.to_str().ok()).unwrap_or("GET");
    let problem = format!("only {allowed} is answered here");
    let mut explained = error(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed, problem);
    explained.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
    explained
}

/// A request that does not say whom it asks (RFC 9112, section 3.2).
pub fn no_host() -> Response {
    wrong(ErrorCode::InvalidRequest, "there is no Host header, which HTTP/1.1 asks for")
}
