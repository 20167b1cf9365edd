//! An HTTP client for tests: status, headers and body, whatever they are.

use std::io::Read;

use anyhow::{Result, ensure};
use serde_json::Value;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

/// An answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
    headers: HeaderMap,
}

impl Answer {
    /// The body as JSON; null if it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// A header's value, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Sends a GET.
///
/// # Errors
/// There is no answer.
pub fn get(url: &str) -> Result<Answer> {
    answer(agent().get(url).call()?)
}

/// Sends a GET with a bearer token.
///
/// # Errors
/// There is no answer.
pub fn get_as(token: &str, url: &str) -> Result<Answer> {
    answer(agent().get(url).header("Authorization", format!("Bearer {token}")).call()?)
}

/// Sends a GET with these headers.
///
/// # Errors
/// There is no answer.
pub fn get_with(url: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let request =
        headers.iter().fold(agent().get(url), |request, (name, value)| request.header(*name, *value));
    answer(request.call()?)
}

/// Sends a GET, and returns the body's bytes as they come.
///
/// # Errors
/// There is no answer, or another than 200.
pub fn stream(url: &str) -> Result<impl Read + Send + use<>> {
    body(agent().get(url).call()?)
}

/// The same with a bearer token.
///
/// # Errors
/// There is no answer, or another than 200.
pub fn stream_as(token: &str, url: &str) -> Result<impl Read + Send + use<>> {
    body(agent().get(url).header("Authorization", format!("Bearer {token}")).call()?)
}

fn body(response: Response<Body>) -> Result<impl Read + Send + use<>> {
    ensure!(response.status() == 200, "{}", response.status());
    Ok(response.into_body().into_reader())
}

/// Sends a POST with an empty body.
///
/// # Errors
/// There is no answer.
pub fn post(url: &str) -> Result<Answer> {
    answer(agent().post(url).send_empty()?)
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(crate::wait::PATIENCE))
        .build()
        .into()
}

fn answer(mut response: Response<Body>) -> Result<Answer> {
    let body = response.body_mut().read_to_string()?;
    Ok(Answer { status: response.status().as_u16(), body, headers: response.headers().clone() })
}
