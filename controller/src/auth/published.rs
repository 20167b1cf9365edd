//! Fetches the API server's keys, when a token needs them, and again when they may have changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::Request;
use kube::Client;
use tokio::time::timeout;

use super::keys::{KeySet, Signature};
use crate::base::causes::with_causes;
use crate::base::complaint::Complaint;
use crate::base::limits;

/// Where they are (KEP-1393); who has a ServiceAccount may read that (ClusterRole `system:service-account-issuer-discovery`).
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
