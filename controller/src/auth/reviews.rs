//! What is known of tokens: the API server is asked once about each, and again when that is old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use moka::Expiry;
use moka::future::Cache;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::permission::{Identity, Refusal};
use super::review::{Outcomes, Verdict, ask};
use crate::limits;

/// A token's hash: tokens themselves are not kept, so that no reading of the process's memory later gives them away.
type Key = [u8; 32];

/// Verdicts on tokens.
pub struct Reviews {
    client: Client,
    audience: String,
    /// Holds the most used ones, so that a flood of bad tokens does not push out good ones.
    known: Cache<Key, Arc<Verdict>>,
    at_once: Semaphore,
    outcomes: Outcomes,
    /// Why the API server cannot be asked, as long as it is so.
    complaint: Mutex<String>,
}

/// How long verdicts are known.
struct Age {
    good: Duration,
}

impl Expiry<Key, Arc<Verdict>> for Age {
    fn expire_after_create(&self, _: &Key, verdict: &Arc<Verdict>, _: Instant) -> Option<Duration> {
        Some(if verdict.is_ok() { self.good } else { limits::BAD_TOKEN_KNOWN })
    }
}

impl Reviews {
    /// None yet. Good ones are known for as long as `good`.
    pub fn new(client: Client, audience: String, good: Duration, outcomes: Outcomes) -> Self {
        let known = Cache::builder().max_capacity(limits::TOKENS_KNOWN).expire_after(Age { good }).build();
        let at_once = Semaphore::new(limits::REVIEWS_AT_ONCE);
        Self { client, audience, known, at_once, outcomes, complaint: Mutex::default() }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// It is not good, or that cannot be found out.
    pub async fn identity(&self, token: &str) -> Result<Identity, Refusal> {
        let key: Key = blake3::hash(token.as_bytes()).into();
        // Many who ask with the same token wait for one answer; a failure is not kept.
        let verdict = self.known.try_get_with(key, self.review(token)).await;
        match &*verdict.map_err(|why| Refusal::Unavailable((*why).clone()))? {
            // A verdict may outlive the token.
            Ok(identity) if identity.expires <= SystemTime::now() => Err(Refusal::Expired),
            Ok(identity) => Ok(identity.clone()),
            Err(why) => Err(Refusal::Invalid(why.clone())),
        }
    }

    async fn review(&self, token: &str) -> Result<Arc<Verdict>, String> {
        let place = timeout(limits::REVIEW_TIMEOUT, self.at_once.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err("too many tokens are being checked".to_owned()) };
        let verdict = ask(self.client.clone(), token, &self.audience).await;
        self.count(&verdict).inc();
        self.complain(verdict.as_ref().err());
        verdict.map(Arc::new)
    }

    fn count(&self, verdict: &Result<Verdict, String>) -> Counter {
        let result = match verdict {
            Ok(Ok(_)) => "good",
            Ok(Err(_)) => "bad",
            Err(_) => "failed",
        };
        self.outcomes.get_or_create_owned(&vec![("result", result)])
    }

    /// Says each cause once.
    fn complain(&self, why: Option<&String>) {
        let now = why.cloned().unwrap_or_default();
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if *complaint == now {
            return;
        }
        match why {
            Some(why) => tracing::warn!("tokens cannot be checked, and are answered with 503: {why}"),
            None => tracing::info!("tokens can be checked again"),
        }
        *complaint = now;
    }
}
