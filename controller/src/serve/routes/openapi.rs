//! `GET /openapi.yaml`: this API's description.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// The description, in OpenAPI 3.1.
const DESCRIPTION: &str = include_str!("../../../api/openapi.yaml");

/// The description.
pub async fn description() -> Response {
    // RFC 9512.
    ([(CONTENT_TYPE, "application/yaml")], DESCRIPTION).into_response()
}

#[cfg(test)]
mod tests;
