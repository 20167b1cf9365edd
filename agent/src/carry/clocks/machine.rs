//! What the clocks of this machine say.

use std::io;

use nix::time::{ClockId, clock_gettime};

use super::layout::{self, NANOSECONDS, Time};

pub use crate::store::generation::clock_facts::Clocks;

impl Clocks {
    /// This machine's, now.
    ///
    /// # Errors
    /// The kernel has none of these clocks.
    pub fn now() -> io::Result<Self> {
        let read = |clock| clock_gettime(clock).map(|time| time.tv_sec() * NANOSECONDS + time.tv_nsec());
        Ok(Self {
            monotonic: read(ClockId::CLOCK_MONOTONIC)?,
            monotonic_raw: read(ClockId::CLOCK_MONOTONIC_RAW)?,
            boottime: read(ClockId::CLOCK_BOOTTIME)?,
            ticks: ticks(),
        })
    }

    /// How far these are ahead of `other`.
    #[must_use]
    pub fn ahead_of(self, other: Self) -> Self {
        self.with(other, i64::wrapping_sub)
    }

    /// These, moved on by `other`.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, i64::wrapping_add)
    }

    fn with(self, other: Self, of: fn(i64, i64) -> i64) -> Self {
        Self {
            monotonic: of(self.monotonic, other.monotonic),
            monotonic_raw: of(self.monotonic_raw, other.monotonic_raw),
            boottime: of(self.boottime, other.boottime),
            ticks: of(self.ticks, other.ticks),
        }
    }

    /// That of one clock, by its number; none for those that do not count from the machine's start.
    #[must_use]
    pub fn of(&self, clock: i32) -> Option<Time> {
        let nanoseconds = match clock {
            layout::MONOTONIC | layout::MONOTONIC_COARSE => self.monotonic,
            layout::MONOTONIC_RAW => self.monotonic_raw,
            layout::BOOTTIME | layout::BOOTTIME_ALARM => self.boottime,
            _ => return None,
        };
        Some(Time {
            seconds: nanoseconds.div_euclid(NANOSECONDS),
            nanoseconds: nanoseconds.rem_euclid(NANOSECONDS),
        })
    }
}

/// Its errors are times as well.
fn ticks() -> i64 {
    // SAFETY: times(2) takes a null pointer from who wants no more than what it returns.
    unsafe { libc::times(std::ptr::null_mut()) }
}
