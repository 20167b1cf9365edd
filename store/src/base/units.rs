//! Moments for people and programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::limits;

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
    roughly(Duration::from_secs(now().saturating_sub(seconds)))
}

/// A duration in its two largest units.
pub fn roughly(duration: Duration) -> String {
    let all = humantime::format_duration(duration).to_string();
    all.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A duration as logs and manifests give it: in whole milliseconds.
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A duration as reports give it: in seconds, to the millisecond.
pub fn seconds(duration: Duration) -> f64 {
    whole_ms(duration) as f64 / 1000.0
}

/// A number of bytes for people.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let power = (1..UNITS.len()).rev().find(|power| bytes >= 1000_u64.pow(*power as u32)).unwrap_or(0);
    if power == 0 {
        return format!("{bytes} B");
    }
    format!("{:.1} {}", bytes as f64 / 1000_f64.powi(power as i32), UNITS[power])
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

    #[test]
    fn bytes_are_told_in_units_of_people() {
        assert_eq!([bytes(999), bytes(1_500), bytes(2_340_000_000)], ["999 B", "1.5 kB", "2.3 GB"]);
    }
}
