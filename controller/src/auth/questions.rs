//! The questions to the API server that are under way, and how they went.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use kube::Client;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::review::{Verdict, ask};
use crate::base::buckets::Buckets;
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::outcomes::{Outcomes, count};

/// Asks about tokens, about a few at a time.
pub struct Questions {
    client: Client,
    audience: String,
    at_once: Semaphore,
    for_each: Buckets<IpAddr>,
    outcomes: Outcomes,
    /// Whether the last question was not answered.
    away: AtomicBool,
    /// Why not.
    complaint: Complaint,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The API server cannot be asked.
    Away(String),
    /// It was not asked, since too many want to know something.
    Busy(String),
}

impl Questions {
    /// None yet.
    pub fn new(client: Client, audience: String, outcomes: Outcomes) -> Self {
        let at_once = Semaphore::new(limits::REVIEWS_AT_ONCE);
        let for_each = Buckets::new(limits::QUESTIONS_PER_PEER, limits::QUESTIONS_PER_PEER_SECOND);
        let away = AtomicBool::new(false);
        Self { client, audience, at_once, for_each, outcomes, away, complaint: Complaint::default() }
    }

    /// For whom tokens have to be made.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// What the API server says of a token, which says that it expires then. Anyone can make up tokens, so they are counted by
    /// the address of the one who shows them, if it is given: not of those that the API server has signed.
    ///
    /// # Errors
    /// There is no answer, and why.
    pub async fn ask(
        &self,
        peer: Option<IpAddr>,
        token: &str,
        expires: SystemTime,
    ) -> Result<Verdict, NoAnswer> {
        if peer.is_some_and(|peer| !self.for_each.take(peer.to_canonical(), Instant::now())) {
            return Err(self.unasked("too many tokens are shown from your address"));
        }
        let place = timeout(limits::REVIEW_TIMEOUT, self.at_once.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(self.unasked("too many tokens are being checked")) };
        let verdict = ask(self.client.clone(), token, &self.audience, expires).await;
        self.away.store(verdict.is_err(), Ordering::Relaxed);
        self.count(&verdict);
        self.complain(verdict.as_ref().err().map(String::as_str));
        verdict.map_err(NoAnswer::Away)
    }

    /// If the API server is away there would have been no answer either.
    fn unasked(&self, why: &str) -> NoAnswer {
        let why = why.to_owned();
        if self.away.load(Ordering::Relaxed) { NoAnswer::Away(why) } else { NoAnswer::Busy(why) }
    }

    fn count(&self, verdict: &Result<Verdict, String>) {
        let result = match verdict {
            Ok(Ok(_)) => "good",
            Ok(Err(_)) => "bad",
            Err(_) => "failed",
        };
        count(&self.outcomes, result);
    }

    fn complain(&self, why: Option<&str>) {
        match why {
            _ if !self.complaint.is_news(why) => {}
            Some(why) => tracing::warn!(
                "tokens cannot be checked; those that the API server has signed, or found good, are taken for an \
                 hour, others are answered with 503: {why}"
            ),
            None => tracing::info!("tokens can be checked again"),
        }
    }
}
