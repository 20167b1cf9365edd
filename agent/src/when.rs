//! Moments for people and programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits;

/// Seconds since 1970, now.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment in seconds since 1970 as RFC 3339 has it. One that no machine should have is shown as the latest that can be.
pub fn rfc3339(seconds: u64) -> String {
    let moment = UNIX_EPOCH + Duration::from_secs(seconds.min(limits::LATEST_TIME));
    humantime::format_rfc3339_seconds(moment).to_string()
}

/// How long ago a moment is, in its two largest units.
pub fn ago(seconds: u64) -> String {
    let passed = humantime::format_duration(Duration::from_secs(now().saturating_sub(seconds))).to_string();
    passed.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_moment_can_be_told() {
        assert_eq!(rfc3339(1_763_000_000), "2025-11-13T02:13:20Z");
        assert!(rfc3339(u64::MAX).starts_with("9999"));
    }

    #[test]
    fn ages_are_short() {
        assert_eq!(ago(now() - 93_784), "1day 2h");
        assert_eq!(ago(now() + 5), "0s");
    }
}
