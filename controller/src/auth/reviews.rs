//! What is known of tokens: the API server is asked once about each, and again when that is old. If it cannot be asked
//! again, what it said before stays: a node may go away while it is down.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use moka::future::Cache;
use tokio::time::timeout;

use super::claims;
use super::known::{Age, Key, Known};
use super::permission::{Identity, Refusal};
use super::questions::Questions;
use crate::base::limits;
use crate::base::outcomes::Outcomes;

/// Verdicts on tokens.
#[derive(Clone)]
pub struct Reviews {
    questions: Arc<Questions>,
    /// Holds the most used ones, so that a flood of bad tokens does not push out good ones.
    known: Cache<Key, Arc<Known>>,
    /// How long a verdict counts without another question.
    fresh: Duration,
}

impl Reviews {
    /// None yet. The API server is asked again about a token after `fresh`.
    pub fn new(client: Client, audience: String, fresh: Duration, outcomes: Outcomes) -> Self {
        let known = Cache::builder().max_capacity(limits::TOKENS_KNOWN).expire_after(Age).build();
        Self { questions: Arc::new(Questions::new(client, audience, outcomes)), known, fresh }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// It is not good, or that cannot be found out.
    pub async fn identity(&self, token: &str) -> Result<Identity, Refusal> {
        // A verdict may outlive its token. And what cannot be good must not take the place of a question.
        let expires = claims::expiry(token, self.questions.audience(), SystemTime::now())?;
        let key: Key = blake3::hash(token.as_bytes()).into();
        // Many who ask with the same token wait for one answer; a failure is not kept.
        let known = self.known.try_get_with(key, self.first(token, expires)).await;
        let mut known = known.map_err(|why: Arc<String>| Refusal::Unavailable((*why).clone()))?;
        if known.falls_due(Instant::now()) {
            known = self.again(key, token.to_owned(), expires, known).await;
        }
        known.verdict.clone().map_err(Refusal::Invalid)
    }

    async fn first(&self, token: &str, expires: SystemTime) -> Result<Arc<Known>, String> {
        self.questions.ask(token, expires).await.map(|verdict| Known::new(verdict, self.fresh))
    }

    /// What is known after another question, or until its answer comes. The question goes on without the caller, so that one who
    /// gives up does not keep it from being answered.
    async fn again(&self, key: Key, token: String, expires: SystemTime, old: Arc<Known>) -> Arc<Known> {
        let (reviews, before) = (self.clone(), Arc::clone(&old));
        let question = tokio::spawn(async move {
            let now = match reviews.questions.ask(&token, expires).await {
                Ok(verdict) => Known::new(verdict, reviews.fresh),
                Err(_) => Known::new(before.verdict.clone(), limits::REVIEW_RETRY),
            };
            reviews.known.insert(key, Arc::clone(&now)).await;
            now
        });
        match timeout(limits::RENEWAL_PATIENCE, question).await {
            Ok(Ok(now)) => now,
            _ => old,
        }
    }
}
