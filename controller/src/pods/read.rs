//! Reads objects of the API server's with the time at which it answered, by its own clock: that of this machine may be another one.

use std::time::SystemTime;

use axum::body::{Body, to_bytes};
use axum::http::header::DATE;
use axum::http::{HeaderMap, Request};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::fmt::rfc2822;
use kube::Client;
use serde::de::DeserializeOwned;

use crate::base::{api_refusal, limits};

/// An object, and when the API server said so. By this machine's clock if it does not say when.
///
/// # Errors
/// The API server refuses or cannot be asked, or says something else.
pub async fn read<T: DeserializeOwned>(client: &Client, path: &str) -> kube::Result<(T, Timestamp)> {
    // Without a resourceVersion the answer is as new as the question (kubernetes.io/docs/reference/using-api/api-concepts).
    let request = Request::get(path).body(kube::client::Body::empty()).map_err(kube::Error::HttpError)?;
    let answer = client.send(request).await?;
    let (status, now) = (answer.status(), date(answer.headers()));
    let body = to_bytes(Body::new(answer.into_body()), limits::OBJECT_MAX_BYTES).await;
    let body = body.map_err(|error| kube::Error::Service(error.into()))?;
    if !status.is_success() {
        return Err(api_refusal::read(status, &body));
    }
    let object = serde_json::from_slice(&body).map_err(kube::Error::SerdeError)?;
    Ok((object, now.unwrap_or_else(|| SystemTime::now().try_into().unwrap_or_default())))
}

/// To the second (RFC 9110, 6.6.1).
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(DATE)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read_as_servers_write_it() {
        let of = |text: &'static str| date(&HeaderMap::from_iter([(DATE, text.parse().unwrap())]));
        let expected = "2026-11-26T03:10:56Z".parse().unwrap();
        assert_eq!(of("Thu, 26 Nov 2026 03:10:56 GMT"), Some(expected));
        assert_eq!(of("yesterday"), None);
        assert_eq!(date(&HeaderMap::new()), None);
    }
}
