//! Timers that are set to an absolute time. CRIU keeps what remains of a timer, so only the moment of setting matters.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};

use crate::kernel;
use crate::next::{self, Next};
use crate::page::{BOOTTIME, MONOTONIC, REALTIME, Time};
use crate::slot::{self, Timer, guess, set_in_machine_time};
use crate::start;

/// TFD_TIMER_ABSTIME and TIMER_ABSTIME.
const ABSOLUTE: c_int = 1;
const EINVAL: c_int = 22;

type Set = unsafe extern "C" fn(usize, c_int, *const Timer, *mut Timer) -> c_int;

/// # Safety
/// As timerfd_settime(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timerfd_settime(
    file: c_int,
    flags: c_int,
    new: *const Timer,
    old: *mut Timer,
) -> c_int {
    unsafe { set(&next::TIMERFD_SETTIME, file as usize, flags, new, old, || clock_of_file(file)) }
}

/// # Safety
/// As timer_settime(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timer_settime(
    timer: usize,
    flags: c_int,
    new: *const Timer,
    old: *mut Timer,
) -> c_int {
    unsafe { set(&next::TIMER_SETTIME, timer, flags, new, old, || clock_of_timer(timer)) }
}

unsafe fn set(
    next: &Next,
    timer: usize,
    flags: c_int,
    new: *const Timer,
    old: *mut Timer,
    clock: impl FnOnce() -> c_int,
) -> c_int {
    let Some(set) = (unsafe { next.function::<Set>() }) else { return next::fail(EINVAL) };
    unsafe { in_machine_time(flags, new, clock, |new| set(timer, flags, new, old)) }
}

/// Calls `set` with what `new` is on the machine.
///
/// # Safety
/// `new` is null or a timer.
pub unsafe fn in_machine_time<R>(
    flags: c_int,
    new: *const Timer,
    clock: impl FnOnce() -> c_int,
    set: impl FnOnce(*const Timer) -> R,
) -> R {
    if flags & ABSOLUTE == 0 || new.is_null() {
        return set(new);
    }
    let wanted = unsafe { *new };
    // No time at all disarms a timer.
    let disarms = wanted.value == Time::default();
    if disarms || !wanted.value.is_valid() || guess(wanted.value) == REALTIME {
        return set(new);
    }
    let clock = clock();
    if slot::is_shifted(clock) { set_in_machine_time(clock, wanted, set) } else { set(new) }
}

/// The kernel tells it in /proc; it matters only on machines that were suspended.
pub fn clock_of_file(file: c_int) -> c_int {
    let Some(page) = start::page() else { return MONOTONIC };
    if page.offsets[MONOTONIC as usize] == page.offsets[BOOTTIME as usize] {
        return MONOTONIC;
    }
    let mut path = *b"/proc/self/fdinfo/\0\0\0\0\0\0\0\0\0\0\0";
    write_number(path.iter_mut().skip_while(|byte| **byte != 0), file);
    let mut about = MaybeUninit::<[u8; 512]>::uninit();
    let about = unsafe { kernel::read_file(path.as_ptr(), &mut about) };
    number_behind(about, b"clockid:").unwrap_or(MONOTONIC)
}

/// The digits from the last to the first, then the other way round: no division by what could be zero, which would take in the
/// code that tells of it.
fn write_number<'a>(places: impl Iterator<Item = &'a mut u8>, number: c_int) {
    let (mut reversed, mut rest, mut digits) = (0_u64, number.unsigned_abs(), 0);
    while digits == 0 || rest > 0 {
        reversed = reversed << 4 | u64::from(rest % 10);
        (rest, digits) = (rest / 10, digits + 1);
    }
    for place in places.take(digits) {
        *place = b'0' + (reversed & 0xf) as u8;
        reversed >>= 4;
    }
}

fn number_behind(mut text: &[u8], label: &[u8]) -> Option<c_int> {
    while let Some((_, rest)) = text.split_first() {
        if let Some(value) = text.strip_prefix(label) {
            let digits = value
                .iter()
                .skip_while(|byte| **byte == b' ' || **byte == b'\t')
                .take_while(|byte| byte.is_ascii_digit());
            return Some(digits.fold(0, |number, digit| number * 10 + c_int::from(digit - b'0')));
        }
        text = rest;
    }
    None
}

/// Timers of other clocks than real and monotonic time, which are few. Zero is no such timer, so that the whole is zero at first.
static OTHERS: [Other; 64] = [const { Other { timer: AtomicUsize::new(0), clock: AtomicI32::new(0) } }; 64];

struct Other {
    /// Its name plus one, since the kernel's first is zero.
    timer: AtomicUsize,
    clock: AtomicI32,
}

fn other(name: usize) -> Option<&'static Other> {
    OTHERS.iter().find(|other| other.timer.load(Relaxed) == name)
}

fn clock_of_timer(timer: usize) -> c_int {
    other(timer.wrapping_add(1)).map_or(MONOTONIC, |other| other.clock.load(Relaxed))
}

fn forget(timer: usize) {
    if let Some(other) = other(timer.wrapping_add(1)) {
        other.timer.store(0, Relaxed);
    }
}

fn remember(timer: usize, clock: c_int) {
    forget(timer);
    if clock == REALTIME || clock == MONOTONIC {
        return;
    }
    let name = timer.wrapping_add(1);
    for other in &OTHERS {
        if other.timer.compare_exchange(0, name, Relaxed, Relaxed).is_ok() {
            return other.clock.store(clock, Relaxed);
        }
    }
}

/// # Safety
/// As timer_create(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timer_create(clock: c_int, event: *mut c_void, timer: *mut usize) -> c_int {
    type Create = unsafe extern "C" fn(c_int, *mut c_void, *mut usize) -> c_int;
    unsafe {
        let Some(create) = next::TIMER_CREATE.function::<Create>() else { return next::fail(EINVAL) };
        let result = create(clock, event, timer);
        if result == 0 {
            remember(*timer, clock);
        }
        result
    }
}

/// # Safety
/// As timer_delete(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timer_delete(timer: usize) -> c_int {
    type Delete = unsafe extern "C" fn(usize) -> c_int;
    forget(timer);
    match unsafe { next::TIMER_DELETE.function::<Delete>() } {
        Some(delete) => unsafe { delete(timer) },
        None => next::fail(EINVAL),
    }
}
