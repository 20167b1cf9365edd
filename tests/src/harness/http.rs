//! An HTTP client for tests: status, headers and body, whatever they are.

use std::io::Read;

use anyhow::{Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

/// An answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How many bytes it had on its way, which may be in gzip.
    pub sent: usize,
    headers: HeaderMap,
}

impl Answer {
    /// The body as JSON; null if it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Whether it says when to ask again: within seconds, by chance.
    pub fn tells_to_wait(&self) -> bool {
        self.header("retry-after").parse().is_ok_and(|seconds| (1..=4).contains(&seconds))
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

/// Sends a POST of this text, with a bearer token if it has any characters.
///
/// # Errors
/// There is no answer.
pub fn post_as(token: &str, url: &str, text: &str) -> Result<Answer> {
    let request = agent().post(url).header("Content-Type", "application/json");
    let bearer = (!token.is_empty()).then(|| format!("Bearer {token}"));
    let request = bearer.into_iter().fold(request, |request, bearer| request.header("Authorization", bearer));
    answer(request.send(text)?)
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(crate::wait::PATIENCE))
        .build()
        .into()
}

fn answer(mut response: Response<Body>) -> Result<Answer> {
    let bytes = response.body_mut().read_to_vec()?;
    let (status, sent, headers) = (response.status().as_u16(), bytes.len(), response.headers().clone());
    let gzip = headers.get("content-encoding").is_some_and(|coding| coding == "gzip");
    let mut body = String::new();
    if gzip {
        GzDecoder::new(&*bytes).read_to_string(&mut body)?
    } else {
        (&*bytes).read_to_string(&mut body)?
    };
    Ok(Answer { status, body, sent, headers })
}
