//! What happens often and is told rarely.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tells when something may be told again.
pub struct LogRarely {
    pause: Duration,
    last: Mutex<Option<Instant>>,
}

impl LogRarely {
    /// Something that is told once in `pause` at most.
    pub fn new(pause: Duration) -> Self {
        Self { pause, last: Mutex::new(None) }
    }

    /// True if it may be told now, which is then done.
    pub fn may(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.saturating_duration_since(last) >= self.pause);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_once_and_then_not_before_the_pause_is_over() {
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let rarely = LogRarely::new(second);
        assert!(rarely.may(now) && !rarely.may(now) && !rarely.may(now + second / 2));
        assert!(rarely.may(now + second) && !rarely.may(now + second * 3 / 2));
    }
}
