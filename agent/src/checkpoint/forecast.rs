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
    /// Bytes per second from the beginning of a dump to its commit, if that is known and must be done in the same time: what is
    /// written is not yet durable.
    pub whole: Option<f64>,
}

/// Says if a dump will not be done in the time `left`; returns what it still needs. None as long as it may work.
///
/// Nothing is said in the first half of the time. An early end is no gain that was promised to anybody, and to give up a
/// dump that would have made it costs the work of days.
pub fn hopeless_on_the_way(pace: &Pace, left: Duration) -> Option<Duration> {
    if pace.elapsed < left {
        return None;
    }
    let needed = rest_of_dump(pace).max(rest_of_all(pace));
    (needed > left.mul_f64(limits::PACE_FACTOR)).then_some(needed)
}

fn rest_of_dump(pace: &Pace) -> Duration {
    let rest = pace.expected.saturating_sub(pace.written);
    if rest == 0 {
        return Duration::ZERO;
    }
    let speed = pace.recent.max(pace.written as f64 / pace.elapsed.as_secs_f64());
    seconds(rest as f64 / speed)
}

/// The slowest that is believed of what was measured with another image, and maybe less of it.
fn rest_of_all(pace: &Pace) -> Duration {
    let all = pace.whole.map_or(Duration::ZERO, |whole| seconds(pace.expected as f64 / whole.max(1.0)));
    all.saturating_sub(pace.elapsed)
}

/// How far a checkpoint is whose dump is over, and which is made durable while the application goes on.
#[derive(Debug, Clone, Copy)]
pub struct Sealing {
    /// How long its dump took.
    pub dumped: Duration,
    /// For how long it has been made durable.
    pub elapsed: Duration,
    /// Bytes that are.
    pub moved: u64,
    /// Bytes that are not.
    pub left: u64,
}

/// Whether to finish this checkpoint before another one is begun, which has to be done in the time `left`; returns how long that
/// takes. It is worth while if there is time for both, or if there is none for another one: then the work since this one is lost in
/// any case, and all of it would be without.
pub fn finish_first(sealing: &Sealing, left: Duration) -> Option<Duration> {
    // One of which all bytes are durable has no rest, and may wait for ever for the volume to make its name so.
    if sealing.moved == 0 || left.is_zero() {
        return None;
    }
    let rest = seconds(sealing.left as f64 * sealing.elapsed.as_secs_f64() / sealing.moved as f64);
    let another = sealing.dumped.saturating_add(sealing.elapsed).saturating_add(rest);
    let both = rest.saturating_add(another) <= left;
    let only_this = another.mul_f64(limits::PACE_FACTOR) > left && rest <= left;
    (both || only_this).then_some(rest)
}

/// How fast the tree was dumped of late, which says for how long another checkpoint would freeze it.
#[derive(Debug, Default)]
pub struct Pauses(Option<f64>);

impl Pauses {
    /// So many bytes of what was `expected` were written while the application stood still for so long. Where that is next to nothing,
    /// something else took the time, and it is not known how fast the rest would have been.
    pub fn note(&mut self, bytes: u64, expected: u64, took: Duration) {
        let bytes = bytes.max(expected / limits::PAUSE_LEAST_SHARE);
        self.0 = Some(bytes as f64 / took.as_secs_f64().max(1e-3));
    }

    /// Says for how long a dump of so many bytes would freeze the tree, if that is longer than it may be.
    pub fn too_long(&mut self, bytes: u64, most: Duration) -> Option<Duration> {
        let speed = self.0?;
        let needed = seconds(bytes as f64 / speed.max(1.0));
        if needed <= most {
            return None;
        }
        self.0 = Some(speed * limits::PAUSE_HOPE);
        Some(needed)
    }
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
        let pace = Pace { written, expected: 10 * GB, elapsed, recent, whole: None };
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
    fn what_is_written_is_not_yet_durable() {
        let judged = |written: u64, elapsed, left, whole| {
            let elapsed = Duration::from_secs(elapsed);
            let pace = Pace { written: written * GB, expected: 10 * GB, elapsed, recent: 1e9, whole };
            hopeless_on_the_way(&pace, Duration::from_secs(left))
        };
        assert_eq!(judged(10, 12, 2, None), None);
        assert_eq!(judged(10, 12, 2, Some(5e8)), Some(Duration::from_secs(8)));
        assert_eq!(judged(10, 12, 6, Some(5e8)), None);
        assert_eq!(judged(10, 5, 9, Some(5e8)), None);
    }

    /// Whether a checkpoint of 10 GB, dumped in 5 s, is finished, of which so many GB were made durable in so many seconds.
    fn finished(moved: u64, elapsed: u64, left: u64) -> Option<u64> {
        let (dumped, elapsed) = (Duration::from_secs(5), Duration::from_secs(elapsed));
        let sealing = Sealing { dumped, elapsed, moved: moved * GB, left: (10 - moved) * GB };
        finish_first(&sealing, Duration::from_secs(left)).map(|rest| rest.as_secs())
    }

    #[test]
    fn what_is_nearly_durable_is_finished_when_there_is_no_time_for_another_one() {
        // A second for each GB: 2 s more, and another one would take 15.
        assert_eq!(finished(8, 8, 3), Some(2));
        assert_eq!(finished(8, 8, 14), Some(2));
        // There is time for both.
        assert_eq!(finished(8, 8, 18), Some(2));
    }

    #[test]
    fn what_would_cost_a_better_one_or_cannot_be_done_is_not_finished() {
        // 9 s more, and another one would take 15: in 23 s there is time for the better one only.
        assert_eq!(finished(1, 1, 23), None);
        assert_eq!(finished(1, 1, 8), None);
        assert_eq!(finished(0, 3, 60), None);
    }

    #[test]
    fn what_only_waits_for_the_volume_is_waited_for_until_the_time_is_over() {
        assert_eq!(finished(10, 10, 1), Some(0));
        assert_eq!(finished(10, 10, 0), None);
    }

    #[test]
    fn a_pause_that_was_too_long_is_not_made_again_and_yet_tried_later() {
        let mut pauses = Pauses::default();
        let most = Duration::from_secs(15);
        assert_eq!(pauses.too_long(100 * GB, most), None);
        pauses.note(GB, GB, most);
        assert_eq!(pauses.too_long(GB, most), None);
        assert_eq!(pauses.too_long(2 * GB, most), Some(Duration::from_secs(30)));
        let refused = (0..100).take_while(|_| pauses.too_long(2 * GB, most).is_some()).count();
        assert_eq!(refused, 3);
    }

    #[test]
    fn a_pause_in_which_nothing_was_written_is_not_held_against_the_program_for_ever() {
        let mut pauses = Pauses::default();
        let most = Duration::from_secs(15);
        for written in [0, 1] {
            pauses.note(written, GB, most);
            let refused = (0..100).take_while(|_| pauses.too_long(GB, most).is_some()).count();
            assert!((1..20).contains(&refused), "{refused} after {written} bytes");
        }
    }

    #[test]
    fn a_slow_beginning_is_not_held_against_a_dump() {
        assert_eq!(judged(0, 0.0, 9, 10), None);
        assert_eq!(judged(1, 2e9, 15, 10), None);
        assert!(judged(1, 1e8, 15, 10).is_some());
    }
}
