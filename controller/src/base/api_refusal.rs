//! What the API server says when it refuses.

use axum::http::StatusCode;
use kube::core::Status;

/// The error of an answer that is none. What is no Status comes from something in between.
pub fn read(status: StatusCode, body: &[u8]) -> kube::Error {
    let said: Option<Status> = serde_json::from_slice(body).ok();
    let else_said = || Status::failure(&String::from_utf8_lossy(body), "").with_code(status.as_u16());
    kube::Error::Api(said.unwrap_or_else(else_said).boxed())
}
