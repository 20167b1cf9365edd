//! Errors of the volume that may pass: a server that fails over must not cost the work of days.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::base::bounded_step::Abandoned;
use crate::base::limits;
use crate::base::signals::Signals;

/// What the C library, and so both Rust and CRIU, says of errors after which the same may work (strerror(3)).
const MAY_PASS: [&str; 9] = [
    "Input/output error",
    "Stale file handle",
    "Connection timed out",
    "Connection reset by peer",
    "Transport endpoint is not connected",
    "No route to host",
    "Resource temporarily unavailable",
    "No space left on device",
    "Disk quota exceeded",
];

fn may_pass(reason: &str) -> bool {
    MAY_PASS.iter().any(|known| reason.contains(known))
}

/// How every failure of CRIU begins. It does not always say that the volume was the reason.
const OF_CRIU: &str = "criu failed: ";

/// How long something is tried again.
#[derive(Debug)]
pub struct Retries {
    limit: Duration,
    /// Whether a failure of CRIU is worth another try whatever its reason, once.
    trust_criu_once_more: bool,
    first: Option<Instant>,
    pause: Duration,
}

impl Retries {
    /// For at most `limit` from the first failure on.
    pub fn new(limit: Duration) -> Self {
        Self { limit, trust_criu_once_more: false, first: None, pause: limits::HOLD_POLL }
    }

    /// For a restore: one that fails for the second time costs some seconds, and a good generation that is passed over costs
    /// the work of days.
    pub fn of_a_restore(limit: Duration) -> Self {
        Self { trust_criu_once_more: true, ..Self::new(limit) }
    }

    /// For a stop: a dump that is tried in vain costs less than one that was not tried.
    pub fn of_a_stop() -> Self {
        Self { trust_criu_once_more: true, ..Self::new(limits::STOP_RETRIES) }
    }

    /// Waits a moment if it is worth while to try again after a failure for this `reason`; false if it is not.
    ///
    /// # Errors
    /// The pod was told to stop.
    pub async fn again(&mut self, reason: &str, signals: &Signals) -> Result<bool, Abandoned> {
        let Some(pause) = self.pause(reason) else { return Ok(false) };
        tokio::select! {
            () = sleep(pause) => Ok(true),
            signal = signals.to_end() => {
                Err(signal.map_or_else(|error| Abandoned::Broken(error.to_string()), Abandoned::Signal))
            }
        }
    }

    /// How long to wait before it is tried again after a failure for this `reason`; none if it is not worth while.
    pub fn pause(&mut self, reason: &str) -> Option<Duration> {
        let (pause, waited) = (self.pause, self.first.get_or_insert_with(Instant::now).elapsed());
        let of_criu = reason.contains(OF_CRIU) && std::mem::take(&mut self.trust_criu_once_more);
        if !(may_pass(reason) || of_criu) || waited + pause > self.limit {
            return None;
        }
        tracing::warn!("trying again: {reason}");
        self.pause = (pause * 2).min(limits::RETRY_PAUSE_MAX);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_worth_another_try() {
        let error = std::io::Error::from_raw_os_error(libc::EIO);
        assert!(may_pass(&format!("its file criu/pages-1.img cannot be read: {error}")));
        assert!(may_pass(&std::io::Error::from_raw_os_error(libc::ESTALE).to_string()));
        assert!(!may_pass("its file criu/pages-1.img was altered after the commit (BLAKE3 differs)"));
        assert!(!may_pass(&std::io::Error::from_raw_os_error(libc::EROFS).to_string()));
    }

    #[test]
    fn a_failure_of_criu_is_worth_one_more_try_whatever_its_reason() {
        let failed = "criu failed: Can't open parent path: No such file or directory";
        assert_eq!(Retries::new(Duration::from_secs(9)).pause(failed), None);
        let mut retries = Retries::of_a_restore(Duration::from_secs(9));
        assert!(retries.pause(failed).is_some());
        assert_eq!(retries.pause(failed), None);
    }
}
