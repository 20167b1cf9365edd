//! `syscall`, by which language runtimes wait, read clocks, make rings and look at files past the C library's functions.

use core::arch::naked_asm;
use core::ffi::c_int;

use crate::kernel::{FUTEX_WAIT, FUTEX_WAITV, IO_URING_SETUP, nr};
use crate::next::{self, SYSCALL};
use crate::page::{MONOTONIC, REALTIME, Time};
use crate::slot::{Timer, in_machine_time};
use crate::stat::{self, Stat, Statx};
use crate::{kernel, read, rings, timers};

/// futex(2): what it does, and a bit that only says how. Another bit says that the time is real time; then it is left alone.
const FUTEX_PRIVATE_FLAG: usize = 128;
const FUTEX_WAIT_BITSET: usize = 9;
const FUTEX_WAIT_REQUEUE_PI: usize = 11;
const FUTEX_LOCK_PI2: usize = 13;
const TIMER_ABSTIME: usize = 1;

/// In assembly, since most system calls pass through, and for some of them the stack and the return address matter: a child of
/// `clone` may come back on another stack.
///
/// # Safety
/// As the system call that is made.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall() {
    naked_asm!(
        "cmp rdi, {futex}", "je {timed}",
        "cmp rdi, {clock_gettime}", "je {timed}",
        "cmp rdi, {clock_nanosleep}", "je {timed}",
        "cmp rdi, {timer_settime}", "je {timed}",
        "cmp rdi, {timerfd_settime}", "je {timed}",
        "cmp rdi, {futex_waitv}", "je {timed}",
        "cmp rdi, {futex_wait}", "je {timed}",
        "cmp rdi, {io_uring_setup}", "je {timed}",
        "cmp rdi, {statx}", "je {timed}",
        "cmp rdi, {newfstatat}", "je {timed}",
        "cmp rdi, {stat}", "je {timed}",
        "cmp rdi, {fstat}", "je {timed}",
        "cmp rdi, {lstat}", "je {timed}",
        "mov rax, [rip + {next}]",
        "test rax, rax", "jz {timed}",
        "jmp rax",
        futex = const nr::FUTEX, clock_gettime = const nr::CLOCK_GETTIME, clock_nanosleep = const nr::CLOCK_NANOSLEEP,
        timer_settime = const nr::TIMER_SETTIME, timerfd_settime = const nr::TIMERFD_SETTIME,
        futex_waitv = const FUTEX_WAITV, futex_wait = const FUTEX_WAIT, io_uring_setup = const IO_URING_SETUP,
        statx = const nr::STATX, newfstatat = const nr::NEWFSTATAT, stat = const nr::STATS[0], fstat = const nr::STATS[1],
        lstat = const nr::STATS[2],
        timed = sym timed, next = sym SYSCALL,
    )
}

/// # Safety
/// As the system call that is made.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall() {
    naked_asm!(
        "cmp x0, {futex}", "b.eq {timed}",
        "cmp x0, {clock_gettime}", "b.eq {timed}",
        "cmp x0, {clock_nanosleep}", "b.eq {timed}",
        "cmp x0, {timer_settime}", "b.eq {timed}",
        "cmp x0, {timerfd_settime}", "b.eq {timed}",
        "cmp x0, {futex_waitv}", "b.eq {timed}",
        "cmp x0, {futex_wait}", "b.eq {timed}",
        "cmp x0, {io_uring_setup}", "b.eq {timed}",
        "cmp x0, {statx}", "b.eq {timed}",
        "cmp x0, {newfstatat}", "b.eq {timed}",
        "cmp x0, {fstat}", "b.eq {timed}",
        "adrp x16, {next}", "ldr x16, [x16, :lo12:{next}]",
        "cbz x16, {timed}",
        "br x16",
        futex = const nr::FUTEX, clock_gettime = const nr::CLOCK_GETTIME, clock_nanosleep = const nr::CLOCK_NANOSLEEP,
        timer_settime = const nr::TIMER_SETTIME, timerfd_settime = const nr::TIMERFD_SETTIME,
        futex_waitv = const FUTEX_WAITV, futex_wait = const FUTEX_WAIT, io_uring_setup = const IO_URING_SETUP,
        statx = const nr::STATX, newfstatat = const nr::NEWFSTATAT, fstat = const nr::STATS[0],
        timed = sym timed, next = sym SYSCALL,
    )
}

/// A number, and six arguments of which not all were given.
type Call = [usize; 7];

/// Also what comes before the library is ready.
unsafe extern "C" fn timed(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    let call = [number, a, b, c, d, e, f];
    unsafe {
        match number {
            nr::CLOCK_GETTIME => read::clock_gettime(a as c_int, b as *mut Time) as isize,
            nr::FUTEX => wait::<4>(futex_clock(b), call),
            nr::CLOCK_NANOSLEEP if b & TIMER_ABSTIME != 0 => wait::<3>(a as c_int, call),
            FUTEX_WAITV => wait::<4>(e as c_int, call),
            FUTEX_WAIT => wait::<5>(f as c_int, call),
            nr::TIMERFD_SETTIME => set(call, || timers::clock_of_file(a as c_int)),
            // Its timers are the kernel's own, which none of the C library's functions has made.
            nr::TIMER_SETTIME => set(call, || MONOTONIC),
            nr::STATX => stat::answered::<Statx>(e, || pass(call)),
            nr::NEWFSTATAT => stat::answered::<Stat>(c, || pass(call)),
            number if nr::STATS.contains(&number) => stat::answered::<Stat>(b, || pass(call)),
            IO_URING_SETUP if rings::are_refused() => next::fail(rings::ENOSYS) as isize,
            _ => pass(call),
        }
    }
}

/// The clock of a futex operation that waits until a time; all others wait in real time, for a while, or not.
fn futex_clock(operation: usize) -> c_int {
    match operation & 0xffff_ffff & !FUTEX_PRIVATE_FLAG {
        FUTEX_WAIT_BITSET | FUTEX_WAIT_REQUEUE_PI | FUTEX_LOCK_PI2 => MONOTONIC,
        _ => REALTIME,
    }
}

/// Passes on a call whose argument `AT` is a time to wait for.
unsafe fn wait<const AT: usize>(clock: c_int, mut call: Call) -> isize {
    unsafe {
        in_machine_time(clock, call[AT] as *const Time, |time| {
            call[AT] = time as usize;
            pass(call)
        })
    }
}

unsafe fn set(mut call: Call, clock: impl FnOnce() -> c_int) -> isize {
    unsafe {
        timers::in_machine_time(call[2] as c_int, call[3] as *const Timer, clock, |timer| {
            call[3] = timer as usize;
            pass(call)
        })
    }
}

unsafe fn pass(call: Call) -> isize {
    type Syscall = unsafe extern "C" fn(usize, ...) -> isize;
    let [number, a, b, c, d, e, f] = call;
    unsafe {
        match SYSCALL.function::<Syscall>() {
            Some(syscall) => syscall(number, a, b, c, d, e, f),
            None => match kernel::call(number, [a, b, c, d, e, f]) {
                error @ -4095..=-1 => next::fail(-error as c_int) as isize,
                result => result,
            },
        }
    }
}
