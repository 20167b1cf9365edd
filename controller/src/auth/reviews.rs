//! What is known of tokens. The API server's signature says whose one is; the API server itself is asked whether its pod is still
//! there, once about each token and again when that is old. If it cannot be asked, the signature, or what it said before,
//! counts for a while: a node may go away while it is down.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kube::Client;
use moka::future::Cache;
use tokio::time::timeout;

use super::claims;
use super::keys::Signature;
use super::known::{Age, Key, Known};
use super::permission::{Identity, Refusal};
use super::published::Published;
use super::questions::{NoAnswer, Questions};
use crate::base::limits;
use crate::base::outcomes::Outcomes;

/// Verdicts on tokens.
#[derive(Clone)]
pub struct Reviews {
    questions: Arc<Questions>,
    keys: Arc<Published>,
    /// Holds the most used ones, so that a flood of bad tokens does not push out good ones.
    known: Cache<Key, Arc<Known>>,
    /// How long a verdict counts without another question.
    fresh: Duration,
}

impl Reviews {
    /// None yet, of at most so many tokens. The API server is asked again about a token after `fresh`.
    pub fn new(client: Client, audience: String, fresh: Duration, most: u64, outcomes: Outcomes) -> Self {
        let known = Cache::builder().max_capacity(most).expire_after(Age).build();
        let keys = Arc::new(Published::new(client.clone()));
        Self { questions: Arc::new(Questions::new(client, audience, outcomes)), keys, known, fresh }
    }

    /// Whose token it is, that one at this address shows.
    ///
    /// # Errors
    /// It is not good, or that cannot be found out.
    pub async fn identity(&self, token: &str, peer: IpAddr) -> Result<Identity, Refusal> {
        // A verdict may outlive its token. And what cannot be good must not take the place of a question.
        let claimed = claims::identity(token, self.questions.audience(), SystemTime::now())?;
        let claimed_until = claimed.expires;
        let key: Key = blake3::hash(token.as_bytes()).into();
        let mut known = match self.known.get(&key).await {
            Some(known) => known,
            None => self.first(key, token, claimed, peer).await?,
        };
        if known.falls_due(Instant::now()) {
            known = self.again(key, token.to_owned(), claimed_until, peer, known).await;
        }
        known.identity(Instant::now())
    }

    /// What the signature says, or the API server if that says nothing.
    async fn first(
        &self,
        key: Key,
        token: &str,
        claimed: Identity,
        peer: IpAddr,
    ) -> Result<Arc<Known>, Refusal> {
        let expires = claimed.expires;
        let first = async {
            match self.keys.signature(token).await {
                Signature::Good => Ok(Known::signed(claimed)),
                Signature::Forged => Err(Refusal::Invalid("the API server has not signed it".to_owned())),
                Signature::Unknown => match self.questions.ask(Some(peer), token, expires).await {
                    Ok(verdict) => Ok(Known::word(verdict, expires, self.fresh)),
                    Err(NoAnswer::Away(why) | NoAnswer::Busy(why)) => Err(Refusal::Unavailable(why)),
                },
            }
        };
        // Many who ask with the same token wait for one answer; a failure is not kept.
        self.known.try_get_with(key, first).await.map_err(|refusal| (*refusal).clone())
    }

    /// What is known after another question, or until its answer comes. The question goes on without the caller, so that one who
    /// gives up does not keep it from being answered.
    async fn again(
        &self,
        key: Key,
        token: String,
        expires: SystemTime,
        peer: IpAddr,
        old: Arc<Known>,
    ) -> Arc<Known> {
        let (reviews, before) = (self.clone(), Arc::clone(&old));
        let question = tokio::spawn(async move {
            let counted = (!before.is_signed()).then_some(peer);
            let now = before.after(reviews.questions.ask(counted, &token, expires).await, reviews.fresh);
            reviews.known.insert(key, Arc::clone(&now)).await;
            now
        });
        match timeout(limits::RENEWAL_PATIENCE, question).await {
            Ok(Ok(now)) => now,
            _ => old,
        }
    }
}

#[cfg(test)]
mod tests;
