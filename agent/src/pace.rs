//! Whether a checkpoint can make it in the time that is left. Pure.

use std::time::Duration;

use crate::limits;

/// Says if it is hopeless even to begin: what is to be written, in bytes, against the volume's speed in bytes per second.
/// None if it may work.
pub fn hopeless_from_the_start(bytes: u64, speed: f64, left: Duration) -> Option<Duration> {
    let needed = seconds(bytes as f64 / speed.max(1.0));
    (needed > left.mul_f64(limits::HOPELESS_FACTOR)).then_some(needed)
}

/// Says if a dump that has `written` so many of the `expected` bytes in `elapsed` will not be done in the time `left`;
/// returns what it still needs. None as long as it may work or it is too early to tell.
pub fn hopeless_on_the_way(
    written: u64,
    expected: u64,
    elapsed: Duration,
    left: Duration,
) -> Option<Duration> {
    if elapsed < limits::PACE_EARLIEST || expected <= written {
        return None;
    }
    let needed = seconds((expected - written) as f64 * elapsed.as_secs_f64() / written.max(1) as f64);
    (needed > left.mul_f64(limits::PACE_FACTOR)).then_some(needed)
}

/// Any number may come of a division, and a duration has a largest value.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn only_what_is_far_too_much_is_refused_before_it_begins() {
        let refused = |gigabytes| hopeless_from_the_start(gigabytes * GB, 1e9, Duration::from_secs(10));
        assert_eq!(refused(9), None);
        assert_eq!(refused(20), None);
        assert_eq!(refused(100), Some(Duration::from_secs(100)));
        assert!(hopeless_from_the_start(GB, 0.0, Duration::from_secs(10)).is_some());
        assert!(hopeless_from_the_start(0, 0.0, Duration::from_secs(10)).is_none());
    }

    #[test]
    fn a_dump_is_judged_by_its_own_pace() {
        let at = |written, elapsed, left| {
            hopeless_on_the_way(written, 10 * GB, Duration::from_secs(elapsed), Duration::from_secs(left))
        };
        assert_eq!(at(GB, 2, 20), None);
        assert_eq!(at(GB, 2, 8), Some(Duration::from_secs(18)));
        assert_eq!(at(0, 0, 20), None);
        assert!(at(0, 5, 20).is_some());
        assert_eq!(at(11 * GB, 5, 1), None);
    }
}
