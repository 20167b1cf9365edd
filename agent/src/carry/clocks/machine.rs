//! What the clocks of this machine say.

use std::io;

use crik_store::generation::clock_facts::Clocks;
use nix::time::{ClockId, clock_gettime};

use super::layout::{self, NANOSECONDS, Time};

/// This machine's, now.
///
/// # Errors
/// The kernel has none of these clocks.
pub fn now() -> io::Result<Clocks> {
    let read = |clock| clock_gettime(clock).map(|time| time.tv_sec() * NANOSECONDS + time.tv_nsec());
    Ok(Clocks {
        monotonic: read(ClockId::CLOCK_MONOTONIC)?,
        monotonic_raw: read(ClockId::CLOCK_MONOTONIC_RAW)?,
        boottime: read(ClockId::CLOCK_BOOTTIME)?,
        ticks: ticks(),
    })
}

/// That of one clock, by its number; none for those that do not count from the machine's start.
#[must_use]
pub fn of(clocks: &Clocks, clock: i32) -> Option<Time> {
    let nanoseconds = match clock {
        layout::MONOTONIC | layout::MONOTONIC_COARSE => clocks.monotonic,
        layout::MONOTONIC_RAW => clocks.monotonic_raw,
        layout::BOOTTIME | layout::BOOTTIME_ALARM => clocks.boottime,
        _ => return None,
    };
    Some(Time {
        seconds: nanoseconds.div_euclid(NANOSECONDS),
        nanoseconds: nanoseconds.rem_euclid(NANOSECONDS),
    })
}
/// Its errors are times as well.
fn ticks() -> i64 {
    // SAFETY: times(2) takes a null pointer from who wants no more than what it returns.
    unsafe { libc::times(std::ptr::null_mut()) }
}
