//! What is known of one token, and for how long. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use moka::Expiry;

use super::permission::{Identity, Refusal};
use super::questions::NoAnswer;
use super::review::Verdict;
use crate::base::limits;

/// A token's hash: tokens themselves are not kept, so that no reading of the process's memory later gives them away.
pub type Key = [u8; 32];

/// A verdict, and when the API server is to be asked again.
pub struct Known {
    verdict: Verdict,
    source: Source,
    /// When the API server's word had to be asked for again, or when the token was first seen if there is none.
    since: Instant,
    /// When the token expires.
    expires: SystemTime,
    ask_again: Instant,
    /// Whether it is being asked again.
    asking: AtomicBool,
}

/// Where a verdict comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// The token is one of which only the API server can say anything, and this is its word.
    Word,
    /// The API server has signed it, and has said this since.
    Confirmed,
    /// The API server has signed it, and could not be asked whether its pod is still there.
    Signature,
    /// The same, but the API server could have been asked if there were not so many who want to know.
    Unasked(String),
}

impl Known {
    /// What the API server said of a token that nothing else is known of, which says that it expires then.
    pub fn word(verdict: Verdict, expires: SystemTime, fresh: Duration) -> Arc<Self> {
        Self::heard(verdict, Source::Word, expires, fresh)
    }

    /// What a token says of itself that the API server has signed, which is to be confirmed.
    pub fn signed(claimed: Identity) -> Arc<Self> {
        let expires = claimed.expires;
        Self::new(Ok(claimed), Source::Signature, Instant::now(), expires, Duration::ZERO)
    }

    fn heard(verdict: Verdict, source: Source, expires: SystemTime, fresh: Duration) -> Arc<Self> {
        let fresh = if verdict.is_ok() { fresh } else { limits::BAD_TOKEN_KNOWN };
        Self::new(verdict, source, Instant::now() + fresh, expires, fresh)
    }

    fn new(
        verdict: Verdict,
        source: Source,
        since: Instant,
        expires: SystemTime,
        fresh: Duration,
    ) -> Arc<Self> {
        let ask_again = Instant::now() + fresh;
        Arc::new(Self { verdict, source, since, expires, ask_again, asking: AtomicBool::new(false) })
    }

    /// What is known after another question. A token that was found bad stays so until the API server says otherwise.
    pub fn after(&self, answer: Result<Verdict, NoAnswer>, fresh: Duration) -> Arc<Self> {
        match answer {
            Ok(verdict) if self.is_signed() => Self::heard(verdict, Source::Confirmed, self.expires, fresh),
            Ok(verdict) => Self::word(verdict, self.expires, fresh),
            Err(why) => {
                let (source, pause) = match (&self.source, why) {
                    (Source::Signature | Source::Unasked(_), NoAnswer::Busy(why)) => {
                        (Source::Unasked(why), limits::BUSY_RETRY)
                    }
                    (Source::Unasked(_), NoAnswer::Away(_)) => (Source::Signature, limits::REVIEW_RETRY),
                    (source, _) => (source.clone(), limits::REVIEW_RETRY),
                };
                Self::new(self.verdict.clone(), source, self.since, self.expires, pause)
            }
        }
    }

    /// Whether the API server has signed it, whatever else it says.
    pub fn is_signed(&self) -> bool {
        self.source != Source::Word
    }

    /// Whose token it is, as far as that counts now.
    ///
    /// # Errors
    /// It is bad, or the API server has not said for too long that its pod is there.
    pub fn identity(&self, now: Instant) -> Result<Identity, Refusal> {
        let identity = self.verdict.clone().map_err(Refusal::Invalid)?;
        match &self.source {
            Source::Unasked(why) => Err(Refusal::Unavailable(why.clone())),
            _ if now.saturating_duration_since(self.since) > limits::UNCONFIRMED_MAX => {
                let most = limits::UNCONFIRMED_MAX.as_secs() / 60;
                let why =
                    format!("the API server has not said for {most} minutes that its pod is still there");
                Err(Refusal::Unavailable(why))
            }
            _ => Ok(identity),
        }
    }

    /// True for the first who sees that it is old, and is to ask again.
    pub fn falls_due(&self, now: Instant) -> bool {
        now >= self.ask_again && !self.asking.swap(true, Ordering::Relaxed)
    }

    /// For how long it is kept. Of a token that the API server has signed for as long as that lives: what it said of it must not be
    /// forgotten before. Anyone can make up others.
    fn age(&self) -> Duration {
        if self.verdict.is_err() && !self.is_signed() {
            return limits::BAD_TOKEN_KNOWN;
        }
        let left = self.expires.duration_since(SystemTime::now()).unwrap_or_default();
        left.min(limits::TOKEN_KEPT)
    }
}

/// Keeps what is known for as long as it may be needed.
pub struct Age;

impl Expiry<Key, Arc<Known>> for Age {
    fn expire_after_create(&self, _: &Key, known: &Arc<Known>, _: Instant) -> Option<Duration> {
        Some(known.age())
    }

    fn expire_after_update(
        &self,
        _: &Key,
        known: &Arc<Known>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(known.age())
    }
}

#[cfg(test)]
mod tests;
