//! Has the threads of a stopped process finish what they do in the vDSO, before that is changed under them.
//!
//! A thread that was frozen in there goes on with this machine's clock, and has the time without the offset when it comes out. It is
//! stepped out and what it was told corrected; where that lies, one of its registers says on the way.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem::size_of;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use crik_store::generation::clock_facts::Clocks;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::layout::{BOOTTIME, MONOTONIC, MONOTONIC_RAW, NANOSECONDS, Time};
use super::machine;
use crate::base::limits;
use crate::tree::process::tracee;

/// Steps each thread on until it is outside of `range`, and sets what it read there on by `offsets`; but not one that is just `about`
/// to read. The process stays stopped. Returns how many were corrected.
///
/// # Errors
/// A thread cannot be traced, or does not leave.
pub fn of(pid: i32, range: &Range<u64>, about: u64, offsets: &Clocks) -> io::Result<usize> {
    let mut corrected = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = entry?.file_name();
        let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // As of a stopped thread; where it stands cannot change. One that has ended stands nowhere.
        let state = fs::read_to_string(format!("/proc/{pid}/task/{thread}/syscall")).unwrap_or_default();
        if program_counter(&state).is_some_and(|at| at != about && range.contains(&at)) {
            corrected += usize::from(step(Pid::from_raw(thread), range, offsets)?);
        }
    }
    Ok(corrected)
}

/// The last of what `/proc/PID/syscall` tells (proc(5)).
fn program_counter(state: &str) -> Option<u64> {
    u64::from_str_radix(state.split_whitespace().last()?.strip_prefix("0x")?, 16).ok()
}

fn step(thread: Pid, range: &Range<u64>, offsets: &Clocks) -> io::Result<bool> {
    ptrace::seize(thread, ptrace::Options::empty())?;
    let corrected = leave(thread, range, offsets);
    ptrace::detach(thread, None)?;
    corrected
}

fn leave(thread: Pid, range: &Range<u64>, offsets: &Clocks) -> io::Result<bool> {
    ptrace::interrupt(thread)?;
    tracee::next_stop(thread)?;
    let mask = tracee::hold_signals(thread)?;
    let began = machine::now()?;
    let seen = step_until_out(thread, range);
    tracee::let_signals(thread, mask)?;
    correct(thread, &seen?, began, offsets)
}

/// All that its registers had on the way.
fn step_until_out(thread: Pid, range: &Range<u64>) -> io::Result<BTreeSet<u64>> {
    let mut seen = BTreeSet::new();
    for _ in 0..limits::VDSO_STEPS_MAX {
        let (at, registers) = registers(thread)?;
        if !range.contains(&at) {
            return Ok(seen);
        }
        seen.extend(registers);
        ptrace::step(thread, None)?;
        tracee::next_stop(thread)?;
    }
    Err(io::Error::other(format!("thread {thread} does not leave the vDSO")))
}

/// Where one of them points to what a clock has said meanwhile, that is what the thread was told.
fn correct(thread: Pid, seen: &BTreeSet<u64>, began: Clocks, offsets: &Clocks) -> io::Result<bool> {
    let now = machine::now()?;
    let memory = tracee::memory(thread)?;
    for address in seen.iter().copied().filter(|address| address % align_of::<Time>() as u64 == 0) {
        let mut bytes = [0; size_of::<Time>()];
        if memory.read_exact_at(&mut bytes, address).is_err() {
            continue;
        }
        let [seconds, nanoseconds] =
            [0, 8].map(|at| i64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i])));
        let told = Time { seconds, nanoseconds };
        let of = |clock: &i32| said_between(told, *clock, began, now);
        if let Some(offset) = [MONOTONIC, BOOTTIME, MONOTONIC_RAW]
            .iter()
            .find(|clock| of(clock))
            .and_then(|clock| machine::of(offsets, *clock))
        {
            let right = told.plus(offset);
            memory.write_all_at(
                &[right.seconds.to_ne_bytes(), right.nanoseconds.to_ne_bytes()].concat(),
                address,
            )?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn said_between(told: Time, clock: i32, began: Clocks, now: Clocks) -> bool {
    let nanoseconds =
        told.seconds.checked_mul(NANOSECONDS).and_then(|seconds| seconds.checked_add(told.nanoseconds));
    let of = |clocks: Clocks| {
        machine::of(&clocks, clock).map(|time| time.seconds * NANOSECONDS + time.nanoseconds)
    };
    match (nanoseconds, of(began), of(now)) {
        (Some(told), Some(began), Some(now)) => {
            (began - limits::COARSE_CLOCK_TICK.as_nanos() as i64..=now).contains(&told)
        }
        _ => false,
    }
}

/// Where the thread stands, and all registers that can hold an address.
fn registers(thread: Pid) -> io::Result<(u64, Vec<u64>)> {
    let found = ptrace::getregs(thread)?;
    #[cfg(target_arch = "x86_64")]
    return Ok((
        found.rip,
        vec![
            found.rax, found.rbx, found.rcx, found.rdx, found.rsi, found.rdi, found.rbp, found.rsp, found.r8,
            found.r9, found.r10, found.r11, found.r12, found.r13, found.r14, found.r15,
        ],
    ));
    #[cfg(target_arch = "aarch64")]
    return Ok((found.pc, found.regs.into_iter().chain([found.sp]).collect()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_counter_stands_last() {
        assert_eq!(program_counter("-1 0x7ffd0 0x7f00af1\n"), Some(0x7f0_0af1));
        assert_eq!(program_counter("35 0x1 0x2 0x0 0x0 0x0 0x0 0x7ffd0 0x7f\n"), Some(0x7f));
        assert_eq!(program_counter("running\n"), None);
    }

    #[test]
    fn only_what_the_clock_has_said_meanwhile_is_taken_for_it() {
        let began = Clocks { monotonic: 5 * NANOSECONDS, ..Clocks::default() };
        let now = Clocks { monotonic: 6 * NANOSECONDS, ..Clocks::default() };
        let said = |seconds, nanoseconds| said_between(Time { seconds, nanoseconds }, MONOTONIC, began, now);
        assert!(said(5, 1) && said(6, 0) && said(4, 999_000_000));
        assert!(!said(6, 1) && !said(4, 0) && !said(i64::MAX, 0) && !said(i64::MIN, -1));
    }
}
