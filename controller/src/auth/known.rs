//! What is known of one token, and for how long. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use moka::Expiry;

use super::review::Verdict;
use crate::base::limits;

/// A token's hash: tokens themselves are not kept, so that no reading of the process's memory later gives them away.
pub type Key = [u8; 32];

/// A verdict, and when the API server is to be asked again.
pub struct Known {
    /// What the API server said.
    pub verdict: Verdict,
    ask_again: Instant,
    /// Whether it is being asked again.
    asking: AtomicBool,
}

impl Known {
    /// A verdict that needs no question for so long.
    pub fn new(verdict: Verdict, fresh: Duration) -> Arc<Self> {
        Arc::new(Self { verdict, ask_again: Instant::now() + fresh, asking: AtomicBool::new(false) })
    }

    /// A verdict that is to be confirmed.
    pub fn to_confirm(verdict: Verdict) -> Arc<Self> {
        Self::new(verdict, Duration::ZERO)
    }

    /// True for the first who sees that it is old, and is to ask again.
    pub fn falls_due(&self, now: Instant) -> bool {
        now >= self.ask_again && !self.asking.swap(true, Ordering::Relaxed)
    }
}

/// Keeps good verdicts for as long as their tokens live, in case the API server cannot be asked again.
pub struct Age;

fn age(verdict: &Verdict) -> Duration {
    let Ok(identity) = verdict else { return limits::BAD_TOKEN_KNOWN };
    let left = identity.expires.duration_since(SystemTime::now()).unwrap_or_default();
    left.min(limits::GOOD_TOKEN_KEPT)
}

impl Expiry<Key, Arc<Known>> for Age {
    fn expire_after_create(&self, _: &Key, known: &Arc<Known>, _: Instant) -> Option<Duration> {
        Some(age(&known.verdict))
    }

    fn expire_after_update(
        &self,
        _: &Key,
        known: &Arc<Known>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(age(&known.verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::permission::Identity;

    fn good(lives: Duration) -> Verdict {
        Ok(Identity { user: "u".to_owned(), node: None, pod: None, expires: SystemTime::now() + lives })
    }

    #[test]
    fn a_good_verdict_is_kept_as_long_as_its_token_lives_but_not_for_ever() {
        let hour = Duration::from_secs(3600);
        assert!(age(&good(hour)) <= hour && age(&good(hour)) > hour - Duration::from_secs(60));
        assert_eq!(age(&good(365 * 24 * hour)), limits::GOOD_TOKEN_KEPT);
        assert_eq!(age(&good(Duration::ZERO)), Duration::ZERO);
        assert_eq!(age(&Err("bad".to_owned())), limits::BAD_TOKEN_KNOWN);
    }

    #[test]
    fn one_asks_again_when_it_is_old() {
        let minute = Duration::from_secs(60);
        let known = Known::new(good(minute), minute);
        assert!(!known.falls_due(Instant::now()));
        let later = Instant::now() + minute;
        assert!(known.falls_due(later) && !known.falls_due(later));
    }
}
