//! What a client has already need not be sent (RFC 9110, section 13).

use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use crate::index::Version;

/// Whether the client has the answer of this version.
pub fn is_known(headers: &HeaderMap, version: Version) -> bool {
    let tag = tag(version);
    let known = headers.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(str::trim);
    known.any(|known| known == "*" || opaque(known) == opaque(&tag))
}

/// Says which version an answer is of, so that the client can ask whether there is another.
pub fn of(version: Version, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag(version)) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
    response
}

/// A weak one: it is the same whether the answer is compressed or not.
fn tag(version: Version) -> String {
    format!("W/\"{version}\"")
}

/// Without the mark of a weak one, which says nothing here.
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_by_its_tag_alone() {
        let known = |value: &'static str| {
            let headers = [(IF_NONE_MATCH, HeaderValue::from_static(value))].into_iter().collect();
            is_known(&headers, "5f1c-17".parse().unwrap())
        };
        for value in [r#"W/"5f1c-17""#, r#""5f1c-17""#, r#""a", W/"5f1c-17""#, "*"] {
            assert!(known(value), "{value}");
        }
        for value in ["", r#"W/"5f1c-1""#, r#"W/"5f1d-17""#, "5f1c-17", r#""*""#] {
            assert!(!known(value), "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), "5f1c-17".parse().unwrap()));
    }
}
