//! Whether a checkpoint can make it in the time that is left. Pure.

use std::time::Duration;

use crate::base::limits;

/// Says if it is hopeless even to begin: what is to be written, in bytes, against the volume's speed in bytes per second.
/// None if it may work.
pub fn hopeless_from_the_start(bytes: u64, speed: f64, left: Duration) -> Option<Duration> {
    let needed = seconds(bytes as f64 / speed.max(1.0));
    (needed > left.mul_f64(limits::HOPELESS_FACTOR)).then_some(needed)
}

/// How fast a dump is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Bytes that are written.
    pub written: u64,
    /// Bytes that will be, about.
    pub expected: u64,
    /// How long it took so far.
    pub elapsed: Duration,
    /// Bytes per second of late: CRIU looks at every process first, and on a busy machine that alone may take seconds.
    pub recent: f64,
}

/// Says if a dump will not be done in the time `left`; returns what it still needs. None as long as it may work.
///
/// Nothing is said in the first half of the time. An early end is no gain that was promised to anybody, and to give up a
/// dump that would have made it costs the work of days.
pub fn hopeless_on_the_way(pace: &Pace, left: Duration) -> Option<Duration> {
    if pace.elapsed < left || pace.expected <= pace.written {
        return None;
    }
    let speed = pace.recent.max(pace.written as f64 / pace.elapsed.as_secs_f64());
    let needed = seconds((pace.expected - pace.written) as f64 / speed);
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

    /// What is said of a dump of 10 GB.
    fn judged(gigabytes: u64, recent: f64, elapsed: u64, left: u64) -> Option<Duration> {
        let written = gigabytes * GB;
        let elapsed = Duration::from_secs(elapsed);
        let pace = Pace { written, expected: 10 * GB, elapsed, recent };
        hopeless_on_the_way(&pace, Duration::from_secs(left))
    }

    #[test]
    fn a_dump_is_judged_by_its_own_pace() {
        assert_eq!(judged(1, 1e8, 10, 9), Some(Duration::from_secs(90)));
        assert_eq!(judged(4, 4e8, 10, 10), None);
        assert!(judged(0, 0.0, 10, 10).is_some());
        assert_eq!(judged(11, 0.0, 10, 1), None);
    }

    #[test]
    fn a_slow_beginning_is_not_held_against_a_dump() {
        assert_eq!(judged(0, 0.0, 9, 10), None);
        assert_eq!(judged(1, 2e9, 15, 10), None);
        assert!(judged(1, 1e8, 15, 10).is_some());
    }
}
