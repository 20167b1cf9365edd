//! The questions to the API server that are under way, and how they went.

use std::net::IpAddr;
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
    for_each: Buckets,
    outcomes: Outcomes,
    /// Why the API server cannot be asked, as long as it is so.
    complaint: Complaint,
}

impl Questions {
    /// None yet.
    pub fn new(client: Client, audience: String, outcomes: Outcomes) -> Self {
        let at_once = Semaphore::new(limits::REVIEWS_AT_ONCE);
        let for_each = Buckets::new(limits::QUESTIONS_PER_PEER, limits::QUESTIONS_PER_PEER_SECOND);
        Self { client, audience, at_once, for_each, outcomes, complaint: Complaint::default() }
    }

    /// For whom tokens have to be made.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// What the API server says of a token, which says that it expires then, and is shown by one at this address.
    ///
    /// # Errors
    /// It cannot be asked, and why.
    pub async fn ask(&self, peer: IpAddr, token: &str, expires: SystemTime) -> Result<Verdict, String> {
        if !self.for_each.take(peer, Instant::now()) {
            return Err("too many tokens are shown from your address".to_owned());
        }
        let place = timeout(limits::REVIEW_TIMEOUT, self.at_once.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err("too many tokens are being checked".to_owned()) };
        let verdict = ask(self.client.clone(), token, &self.audience, expires).await;
        self.count(&verdict);
        self.complain(verdict.as_ref().err().map(String::as_str));
        verdict
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
                "tokens cannot be checked; those that the API server has signed, or found good, are taken until they \
                 expire, others are answered with 503: {why}"
            ),
            None => tracing::info!("tokens can be checked again"),
        }
    }
}
