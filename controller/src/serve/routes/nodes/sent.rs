//! What is sent of a text: the whole of it, in gzip for who takes that, or a part.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};

use crate::serve::app::App;
use crate::serve::lists::{Parts, Portions, Selection, Text, Wanted, Whole};

/// All nodes. None if the text is not there any more.
pub async fn whole(app: &App, text: Arc<Text>, headers: &HeaderMap) -> Option<Response> {
    if !takes_gzip(headers) {
        return Some(json(Whole::plain(text)));
    }
    let mut response = json(app.0.texts.zipped(&text).await?);
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Some(response)
}

/// Some of them, which is never in gzip: it would have to be made for each. None if they are not there any more.
pub fn part(app: &App, text: Arc<Text>, wanted: Wanted) -> Option<Response> {
    let selection = Selection::new(Arc::clone(&text), wanted).ok()??;
    if selection.next.is_some() {
        app.0.texts.keep(&text);
    }
    Some(json(selection))
}

fn json(parts: impl Parts + Send + 'static) -> Response {
    ([(CONTENT_TYPE, "application/json")], Body::new(Portions::new(parts))).into_response()
}

/// Whether an answer may be in gzip (RFC 9110, section 12.5.3): it, or everything, is named and not refused by a weight of 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<_> = values.flat_map(|value| value.split(',')).map(weighed).collect();
    let taken = |named: &str| {
        let mut codings = codings.iter();
        codings.find_map(|(coding, weight)| coding.eq_ignore_ascii_case(named).then_some(*weight > 0.0))
    };
    taken("gzip").or_else(|| taken("*")).unwrap_or(false)
}

/// A coding and its weight, which is 1 if there is none.
fn weighed(coding: &str) -> (&str, f32) {
    let (coding, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
    let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
    (coding.trim(), weight.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_names_it_and_does_not_refuse_it() {
        let takes = |value: &'static str| {
            let headers = [(ACCEPT_ENCODING, HeaderValue::from_static(value))];
            takes_gzip(&headers.into_iter().collect())
        };
        for value in ["gzip", "br, gzip", "GZIP;q=0.5", "deflate, gzip ; q=1.0", "*", "br;q=1, *;q=0.1"] {
            assert!(takes(value), "{value}");
        }
        for value in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip;q=0.000, br",
            "*;q=0",
            "gzip;q=0, *",
            "gzip;q=x",
            "xgzip",
        ] {
            assert!(!takes(value), "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
