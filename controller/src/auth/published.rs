//! Fetches the API server's keys, when a token needs them, and again when they may have changed.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::Request;
use kube::Client;
use tokio::time::{Instant, timeout};

use super::keys::{KeySet, Signature};
use crate::base::causes::with_causes;
use crate::base::complaint::Complaint;
use crate::base::limits;

/// Where they are (KEP-1393); who has a ServiceAccount may read that (ClusterRole `system:service-account-issuer-discovery`). Not where the
/// discovery document beside it says (`jwks_uri`): that is for who checks from outside, often at a cloud's public address, which a
/// cluster need not reach, and whose keys are no newer.
const PATH: &str = "/openid/v1/jwks";

/// The keys as they were last read.
pub struct Published {
    client: Client,
    keys: Mutex<Arc<KeySet>>,
    /// When they may be read again; one at a time reads them.
    turn: tokio::sync::Mutex<Option<Instant>>,
    complaint: Complaint,
}

impl Published {
    /// None yet.
    pub fn new(client: Client) -> Self {
        let turn = tokio::sync::Mutex::new(None);
        Self { client, keys: Mutex::default(), turn, complaint: Complaint::default() }
    }

    /// Who has signed this token. If that is none of the keys that are known, they are read again, though not all the time.
    pub async fn signature(&self, token: &str) -> Signature {
        match self.known().signature(token) {
            Signature::Unknown if self.read().await => self.known().signature(token),
            Signature::Good if self.is_old() => {
                // A key that is not published any more must not count for ever.
                self.read().await;
                self.known().signature(token)
            }
            signature => signature,
        }
    }

    fn known(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_old(&self) -> bool {
        let since = self.turn.try_lock().ok().and_then(|turn| *turn);
        since.is_some_and(|since| since.elapsed() > limits::KEYS_KEPT)
    }

    /// True if they were read.
    async fn read(&self) -> bool {
        let mut turn = self.turn.lock().await;
        if turn.is_some_and(|last| last.elapsed() < limits::KEYS_PAUSE) {
            return true;
        }
        *turn = Some(Instant::now());
        let answer = timeout(limits::KEYS_TIMEOUT, self.ask()).await;
        let late = || format!("the API server has not answered within {:?}", limits::KEYS_TIMEOUT);
        let answer = answer.unwrap_or_else(|_| Err(late()));
        self.complain(answer.as_ref().err().map(String::as_str));
        let Ok(keys) = answer else { return false };
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        true
    }

    async fn ask(&self) -> Result<KeySet, String> {
        let request = Request::get(PATH).body(Vec::new()).map_err(|error| error.to_string())?;
        self.client.request::<KeySet>(request).await.map_err(|error| with_causes(&error))
    }

    fn complain(&self, why: Option<&str>) {
        let is_news = self.complaint.is_news(why);
        if let Some(now) = why.filter(|_| is_news) {
            tracing::warn!(
                "the API server's keys cannot be read from {PATH}, so it is asked about each token: {now}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use axum::http::Response;
    use serde_json::{Value, json};
    use tokio::time::{Duration, advance};
    use tower::service_fn;

    use super::*;
    use crate::auth::signer::Signer;

    const HEADER: &str = r#"{"alg":"ES256"}"#;

    /// An API server that publishes these keys, and the keys as they are known of it.
    fn published(keys: &Arc<Mutex<Vec<Value>>>) -> Published {
        let keys = Arc::clone(keys);
        let server = service_fn(move |request: Request<kube::client::Body>| {
            assert_eq!(request.uri().path(), PATH);
            let set = json!({"keys": *keys.lock().unwrap()}).to_string();
            async move { Ok::<_, Infallible>(Response::new(Body::from(set))) }
        });
        Published::new(Client::new(server, "default"))
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_read_again_for_a_token_that_none_has_signed_and_not_all_the_time() {
        let (old, new) = (Signer::new(), Signer::new());
        let keys = Arc::new(Mutex::new(vec![old.key("1")]));
        let published = published(&keys);
        assert_eq!(published.signature(&old.token(HEADER)).await, Signature::Good);
        keys.lock().unwrap().push(new.key("2"));
        let token = new.token(r#"{"alg":"ES256","kid":"2"}"#);
        assert_eq!(published.signature(&token).await, Signature::Unknown);
        advance(limits::KEYS_PAUSE).await;
        assert_eq!(published.signature(&token).await, Signature::Good);
        assert_eq!(published.signature(&old.token(HEADER)).await, Signature::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_not_published_any_more_does_not_count_for_long() {
        let (lost, new) = (Signer::new(), Signer::new());
        let keys = Arc::new(Mutex::new(vec![lost.key("1")]));
        let published = published(&keys);
        let token = lost.token(r#"{"alg":"ES256","kid":"1"}"#);
        assert_eq!(published.signature(&token).await, Signature::Good);
        *keys.lock().unwrap() = vec![new.key("2")];
        advance(limits::KEYS_KEPT).await;
        assert_eq!(published.signature(&token).await, Signature::Good);
        advance(Duration::from_secs(1)).await;
        assert_eq!(published.signature(&token).await, Signature::Unknown);
    }
}
