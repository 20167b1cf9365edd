//! Time namespaces (time_namespaces(7)): CLOCK_MONOTONIC and CLOCK_BOOTTIME of some processes, set apart from the machine's.

use std::fs;
use std::io;
use std::thread;

use super::capabilities::{Capability, has};
use super::namespaces;

/// How far the clocks of a namespace are ahead of the machine's own, in nanoseconds, whatever namespace it was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offsets {
    /// Of CLOCK_MONOTONIC, and of all that go with it.
    pub monotonic: i64,
    /// Of CLOCK_BOOTTIME.
    pub boottime: i64,
}

const NANOSECONDS: i64 = 1_000_000_000;

impl Offsets {
    /// Of the namespace in which the children of process `pid` are, which is its own unless it has just made one. None at all on a
    /// kernel without time namespaces.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        fs::read_to_string(format!("/proc/{pid}/timens_offsets"))
            .map(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    /// Of the namespace that this process is in.
    #[must_use]
    pub fn own() -> Self {
        Self::of(std::process::id().cast_signed())
    }

    fn parse(text: &str) -> Self {
        let of = |clock: &str, number: &str| {
            let line = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            // Earlier kernels have the clocks' numbers there.
            let found = line
                .into_iter()
                .find(|words| words.first().is_some_and(|&first| first == clock || first == number));
            let part = |at: usize| found.as_ref()?.get(at)?.parse::<i64>().ok();
            part(1).unwrap_or(0) * NANOSECONDS + part(2).unwrap_or(0)
        };
        Self { monotonic: of("monotonic", "1"), boottime: of("boottime", "7") }
    }

    /// As the kernel wants it to be written.
    fn lines(self) -> String {
        let line = |clock: &str, offset: i64| {
            format!("{clock} {} {}\n", offset.div_euclid(NANOSECONDS), offset.rem_euclid(NANOSECONDS))
        };
        line("monotonic", self.monotonic) + &line("boottime", self.boottime)
    }
}

/// Whether this process may make one: tried, by a thread that ends with it, since a capability alone does not tell whether the
/// kernel has them.
#[must_use]
pub fn is_possible() -> bool {
    let may = has(Capability::SysAdmin) && has(Capability::SysTime);
    may && thread::spawn(|| make(Offsets::own()).is_ok()).join().unwrap_or(false)
}

/// Whether a process is in another one than this process. One that cannot be looked at is not, as on a kernel without them.
#[must_use]
pub fn is_elsewhere(pid: i32) -> bool {
    namespaces::differ(&pid.to_string(), "self", "time")
}

/// Makes a namespace with these clocks and moves into it, before this process has a second thread.
///
/// # Errors
/// It may not, or the kernel has none.
pub fn enter_new(offsets: Offsets) -> io::Result<()> {
    make(offsets)?;
    namespaces::enter("/proc/self/ns/time_for_children", libc::CLONE_NEWTIME)
}

/// Moves into that of another process, before this process has a second thread.
///
/// # Errors
/// The process has ended, or this one may not.
pub fn enter_that_of(pid: i32) -> io::Result<()> {
    namespaces::enter(&format!("/proc/{pid}/ns/time"), libc::CLONE_NEWTIME)
}

/// Makes one for the children of this thread.
fn make(offsets: Offsets) -> io::Result<()> {
    // SAFETY: unshare(2) takes a number, and changes nothing for the threads that there are.
    nix::errno::Errno::result(unsafe { libc::unshare(libc::CLONE_NEWTIME) })?;
    // `/proc/self` is that of the first thread.
    let path = format!("/proc/{}/timens_offsets", nix::unistd::gettid());
    // At once: the kernel takes no more once a process is in it.
    fs::write(path, offsets.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_what_it_was_told() {
        let offsets = Offsets { monotonic: -86_399_250_000_000, boottime: 5 };
        assert_eq!(offsets.lines(), "monotonic -86400 750000000\nboottime 0 5\n");
        assert_eq!(
            Offsets::parse("monotonic      -86400 750000000\nboottime             0         5\n"),
            offsets
        );
        assert_eq!(Offsets::parse("1 -86400 750000000\n7 0 5\n"), offsets);
        assert_eq!(Offsets::parse(""), Offsets::default());
    }
}
