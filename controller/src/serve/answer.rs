//! Answers that are not a node's state.

use axum::Json;
use axum::http::header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use crik_api::ErrorBody;

use crate::auth::Refusal;
use crate::base::limits;

/// An error with its remedy.
pub fn error(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(ErrorBody { error: error.into() })).into_response()
}

/// An error that passes.
pub fn later(problem: impl Into<String>) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, problem);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(limits::RETRY_AFTER_SECONDS));
    response
}

/// The first list is not complete, so every state would be wrong.
pub fn not_ready() -> Response {
    later("the list of nodes is not complete yet; ask again")
}

/// Nothing is told of pods.
pub fn no_pods() -> Response {
    let problem = "nothing is told of pods here; that needs --pods=true and --source kubernetes";
    error(StatusCode::NOT_FOUND, problem)
}

/// There is no room for a poll that waits.
pub fn too_many_polls() -> Response {
    later("too many polls wait here; ask without wait, ask another replica, or raise --max-waiting-polls")
}

/// There is no room for a list or a stream.
pub fn too_many_streams() -> Response {
    later("too many lists and streams are being read here; ask again, or ask another replica")
}

/// There is no room for a connection.
pub async fn no_connection() -> Response {
    later(
        "too many connections are open here, or from your address (--max-connections-per-peer); ask again, or ask \
         another replica",
    )
}

/// An answer that cannot be written, which is a fault of ours.
pub fn broken(why: &str) -> Response {
    error(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the answer: {why}; please report this"))
}

/// The caller may not have this.
pub fn refused(refusal: &Refusal) -> Response {
    let status = refusal.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return later(refusal.to_string());
    }
    let mut response = error(status, refusal.to_string());
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(refusal.challenge());
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Refuses a request that has a body, and the rest of the connection, which would have to be read for it.
pub fn no_bodies() -> Response {
    let mut response = error(StatusCode::PAYLOAD_TOO_LARGE, "nothing here takes a body; send none");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Gives the framework's bare refusal of a method a body.
pub fn explain(response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let mut explained = error(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
    explained.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
    explained
}
