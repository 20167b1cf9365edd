//! What a registry wants to know of who asks (<https://distribution.github.io/distribution/spec/auth/token/>): a token of the service that it
//! names, which a public image's registry gives to anybody, or a password.

use axum::http::{HeaderValue, StatusCode, Uri};
use http_auth::parser::ChallengeParser;
use serde::Deserialize;

use super::credentials::{Credential, secret};
use super::error::LookupError;
use super::transport::{Asked, Transport};
use crate::base::limits;

/// What a registry asks for.
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The one that can be met: a token before a password.
    fn best(header: &str) -> Option<Self> {
        let all = ChallengeParser::new(header).filter_map(Result::ok).map(|challenge| Self {
            scheme: challenge.scheme.to_ascii_lowercase(),
            parameters: challenge
                .params
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped()))
                .collect(),
        });
        let mut known: Vec<Self> =
            all.filter(|one| ["bearer", "basic"].contains(&one.scheme.as_str())).collect();
        known.sort_by_key(|one| one.scheme != "bearer");
        known.into_iter().next()
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// What the service says.
#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

/// What a registry is to be shown that asks for this, for the right to pull from a repository.
///
/// # Errors
/// It cannot be had.
pub async fn answer_to(
    challenge: &str,
    repository: &str,
    credential: Option<&Credential>,
    transport: &Transport,
) -> Result<HeaderValue, LookupError> {
    let challenge = Challenge::best(challenge).ok_or(LookupError::Unauthorized)?;
    if challenge.scheme == "basic" {
        return credential.and_then(Credential::basic).ok_or(LookupError::Unauthorized);
    }
    let uri = token_uri(&challenge, repository).ok_or(LookupError::Malformed("challenge"))?;
    let basic = credential.and_then(Credential::basic);
    let asked = Asked {
        accept: "application/json",
        authorization: basic.as_ref(),
        most: limits::REGISTRY_TOKEN_BYTES,
    };
    let answer = transport.get(&uri, asked).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(LookupError::Unauthorized),
        other => return Err(LookupError::Status(other.as_u16())),
    }
    let token: Token = serde_json::from_slice(&answer.body).map_err(|_| LookupError::Malformed("token"))?;
    secret(&format!("Bearer {}", token.token)).ok_or(LookupError::Malformed("token"))
}

/// Where the token is.
fn token_uri(challenge: &Challenge, repository: &str) -> Option<Uri> {
    let realm = challenge.parameter("realm")?;
    let scope =
        challenge.parameter("scope").map_or_else(|| format!("repository:{repository}:pull"), str::to_owned);
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(service) = challenge.parameter("service") {
        query.append_pair("service", service);
    }
    query.append_pair("scope", &scope);
    let separator = if realm.contains('?') { '&' } else { '?' };
    format!("{realm}{separator}{}", query.finish()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_where_the_registry_says_and_for_what_it_says() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/redis:pull""#;
        let uri = token_uri(&Challenge::best(hub).unwrap(), "library/redis").unwrap().to_string();
        let query = "service=registry.docker.io&scope=repository%3Alibrary%2Fredis%3Apull";
        assert_eq!(uri, format!("https://auth.docker.io/token?{query}"));
        let bare =
            token_uri(&Challenge::best(r#"Bearer realm="https://a/t?x=1""#).unwrap(), "own/app").unwrap();
        assert_eq!(bare.to_string(), "https://a/t?x=1&scope=repository%3Aown%2Fapp%3Apull");
    }

    #[test]
    fn a_token_is_taken_before_a_password_and_what_is_unknown_not_at_all() {
        let both = r#"Basic realm="r", Bearer realm="https://a/t""#;
        assert_eq!(Challenge::best(both).unwrap().scheme, "bearer");
        assert_eq!(Challenge::best(r#"Basic realm="r""#).unwrap().scheme, "basic");
        for other in ["Negotiate", r#"Digest realm="r", nonce="n""#, "", "Bearer realm"] {
            assert!(Challenge::best(other).is_none_or(|one| token_uri(&one, "a").is_none()), "{other}");
        }
    }
}
