//! How long a start waits for its volume, and what it says meanwhile: at once that it waits and for what, and then seldom.

use std::time::{Duration, Instant};

use crate::base::limits;
use crate::base::units::roughly;

/// The wait for a volume that does not answer, or answers with errors. It ends when the volume is well again.
#[derive(Debug)]
pub struct VolumeWait {
    limit: Duration,
    since: Option<Instant>,
    next_told: Option<Instant>,
    told_pause: Duration,
    pause: Duration,
}

impl VolumeWait {
    /// One that may last so long.
    pub fn new(limit: Duration) -> Self {
        let pause = limits::HOLD_POLL;
        Self { limit, since: None, next_told: None, told_pause: Duration::ZERO, pause }
    }

    /// The volume is in trouble for this `reason`, and was so for this long before anybody said it. False once it was waited for
    /// long enough.
    pub fn goes_on(&mut self, reason: &str, already: Duration) -> bool {
        let now = Instant::now();
        let waited = *self.since.get_or_insert(now.checked_sub(already).unwrap_or(now));
        let (waited, is_due) = (now - waited, self.next_told.is_none_or(|next| next <= now));
        if is_due {
            tell(waited, reason);
            self.told_pause = (self.told_pause * 2).clamp(limits::WAIT_TOLD.0, limits::WAIT_TOLD.1);
            self.next_told = Some(now + self.told_pause);
        }
        waited < self.limit
    }

    /// How long to wait before the next try.
    pub fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(limits::RETRY_PAUSE_MAX);
        pause
    }

    /// Whether it has begun.
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// The volume answers.
    pub fn is_over(&mut self) {
        if let Some(since) = self.since {
            tracing::info!(step = "wait", "the volume answers again, after {}", whole(since.elapsed()));
            *self = Self::new(self.limit);
        }
    }
}

fn tell(waited: Duration, reason: &str) {
    let long =
        if waited < limits::WAIT_TOLD.0 { String::new() } else { format!(" ({} by now)", whole(waited)) };
    tracing::warn!(step = "wait", "waiting for the volume{long}: {reason}");
}

fn whole(waited: Duration) -> String {
    if waited.as_secs() == 0 {
        roughly(Duration::from_millis(waited.subsec_millis().into()))
    } else {
        roughly(Duration::from_secs(waited.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_an_end_and_begins_anew_when_the_volume_was_well() {
        let mut wait = VolumeWait::new(Duration::from_secs(9));
        assert!(wait.goes_on("EIO", Duration::from_secs(3)));
        assert!(!VolumeWait::new(Duration::from_secs(9)).goes_on("EIO", Duration::from_secs(9)));
        assert_eq!([wait.pause(), wait.pause()], [limits::HOLD_POLL, limits::HOLD_POLL * 2]);
        wait.is_over();
        assert!(wait.goes_on("EIO", Duration::ZERO) && wait.pause() == limits::HOLD_POLL);
    }
}
