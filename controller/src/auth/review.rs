//! One question to the API server: whose token is this?

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::Deserialize;
use tokio::time::timeout;

use super::permission::Identity;
use crate::limits;

/// How the questions went: `good`, `bad` or `failed`.
pub type Outcomes = Family<Vec<(&'static str, &'static str)>, Counter>;

/// Where the API server says on which node a pod runs whose token this is (KEP-4193).
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// What the API server says of a token; an error says why it is not good.
pub type Verdict = Result<Identity, String>;

/// Asks the API server.
///
/// # Errors
/// It cannot be asked, and why.
pub async fn ask(client: Client, token: &str, audience: &str) -> Result<Verdict, String> {
    let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![audience.to_owned()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let (api, parameters) = (Api::<TokenReview>::all(client), PostParams::default());
    let asked = timeout(limits::REVIEW_TIMEOUT, api.create(&parameters, &review)).await;
    let answer =
        asked.map_err(|_| format!("the API server has not answered within {:?}", limits::REVIEW_TIMEOUT))?;
    let status = answer.map_err(|error| explain(&error))?.status.unwrap_or_default();
    Ok(verdict(status, audience, expiry(token)))
}

fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            "the controller may not ask the API server; give its ServiceAccount the verb create on \
             tokenreviews.authentication.k8s.io"
                .to_owned()
        }
        kube::Error::Api(status) => format!("the API server says: {}", status.message),
        error => crate::causes::with_causes(error),
    }
}

/// An API server that does not know about audiences says that a token is good which was made for another one; then it
/// names none (documentation of TokenReviewStatus).
fn verdict(status: TokenReviewStatus, audience: &str, expires: Option<SystemTime>) -> Verdict {
    if status.authenticated != Some(true) {
        return Err(status
            .error
            .filter(|why| !why.is_empty())
            .unwrap_or("the API server does not know it".into()));
    }
    if !status.audiences.unwrap_or_default().iter().any(|given| given == audience) {
        return Err(format!("it was not made for the audience {audience:?}"));
    }
    let user = status.user.unwrap_or_default();
    let node = user.extra.unwrap_or_default().remove(NODE_NAME).and_then(|values| values.into_iter().next());
    let expires = expires.ok_or("it does not say when it expires, so it is no projected token")?;
    Ok(Identity { user: user.username.unwrap_or_default(), node, expires })
}

#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

/// When a token expires (RFC 7519, section 4.1.4). Not verified here: it counts only if the API server finds the token
/// good, which verifies it.
fn expiry(token: &str) -> Option<SystemTime> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(audiences: &[&str]) -> TokenReviewStatus {
        let user = serde_json::json!({"username": "u", "extra": {NODE_NAME: ["a"]}});
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(audiences.iter().map(|&audience| audience.to_owned()).collect()),
            user: serde_json::from_value(user).unwrap(),
            ..TokenReviewStatus::default()
        }
    }

    #[test]
    fn a_good_token_names_its_node() {
        let expires = SystemTime::now();
        let identity = verdict(good(&["crik"]), "crik", Some(expires)).unwrap();
        assert_eq!(identity, Identity { user: "u".to_owned(), node: Some("a".to_owned()), expires });
    }

    #[test]
    fn an_api_server_that_ignores_audiences_is_not_believed() {
        assert!(verdict(good(&[]), "crik", Some(SystemTime::now())).unwrap_err().contains("\"crik\""));
        assert!(verdict(good(&["other"]), "crik", Some(SystemTime::now())).is_err());
    }

    #[test]
    fn what_is_not_said_to_be_good_is_bad() {
        assert!(verdict(TokenReviewStatus::default(), "crik", Some(SystemTime::now())).is_err());
        let unsaid = TokenReviewStatus { authenticated: None, ..good(&["crik"]) };
        assert!(verdict(unsaid, "crik", Some(SystemTime::now())).is_err());
        assert!(verdict(good(&["crik"]), "crik", None).unwrap_err().contains("expires"));
    }

    #[test]
    fn the_expiry_is_read_from_the_token() {
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(r#"{"aud":["crik"],"exp":1795000000}"#));
        assert_eq!(expiry(&token), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000)));
        for bad in ["", "a", "a.b.c", "e30.e30.e30", "a.!!.c"] {
            assert_eq!(expiry(bad), None, "{bad}");
        }
        let huge = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{}}}"#, u64::MAX)));
        assert_eq!(expiry(&huge), None);
    }
}
