//! Answers that are not a node's state.

use axum::Json;
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use crik_api::ErrorBody;

use crate::limits;

/// An error with its remedy.
pub fn error(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(ErrorBody { error: error.into() })).into_response()
}

/// The first list is not complete, so every state would be wrong.
pub fn not_ready() -> Response {
    let mut response =
        error(StatusCode::SERVICE_UNAVAILABLE, "the list of nodes is not complete yet; ask again");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(limits::RETRY_AFTER_SECONDS));
    response
}

/// There is nothing at this path.
pub async fn no_such_route() -> Response {
    error(StatusCode::NOT_FOUND, "no such route; there are /v1/nodes, /v1/nodes/{name}, /healthz and /readyz")
}

/// Gives the framework's bare refusal of a method a body.
pub async fn explain(response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let mut explained = error(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
    explained.headers_mut().extend(allow.map(|allow| (ALLOW, allow)));
    explained
}
