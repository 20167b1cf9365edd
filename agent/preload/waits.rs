//! Waits until an absolute time. All others wait for a time from now on, which is the same on every machine.

use core::ffi::{c_int, c_void};

use crate::next::{self, Next};
use crate::page::Time;
use crate::slot::{guess, in_machine_time};

const TIMER_ABSTIME: c_int = 1;
const EINVAL: c_int = 22;

/// # Safety
/// As clock_nanosleep(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: c_int,
    flags: c_int,
    time: *const Time,
    left: *mut Time,
) -> c_int {
    type Sleep = unsafe extern "C" fn(c_int, c_int, *const Time, *mut Time) -> c_int;
    unsafe {
        let Some(sleep) = next::CLOCK_NANOSLEEP.function::<Sleep>() else { return EINVAL };
        if flags & TIMER_ABSTIME == 0 {
            return sleep(clock, flags, time, left);
        }
        in_machine_time(clock, time, |time| sleep(clock, flags, time, left))
    }
}

/// Its clock was told to an attribute of the condition, and each C library keeps that elsewhere.
///
/// # Safety
/// As pthread_cond_timedwait(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cond_timedwait(
    condition: *mut c_void,
    mutex: *mut c_void,
    time: *const Time,
) -> c_int {
    type Wait = unsafe extern "C" fn(*mut c_void, *mut c_void, *const Time) -> c_int;
    unsafe {
        let Some(wait) = next::COND_TIMEDWAIT.function::<Wait>() else { return EINVAL };
        in_machine_time(guess(*time), time, |time| wait(condition, mutex, time))
    }
}

/// # Safety
/// As pthread_cond_clockwait(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cond_clockwait(
    condition: *mut c_void,
    mutex: *mut c_void,
    clock: c_int,
    time: *const Time,
) -> c_int {
    type Wait = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int, *const Time) -> c_int;
    unsafe {
        let Some(wait) = next::COND_CLOCKWAIT.function::<Wait>() else { return EINVAL };
        in_machine_time(clock, time, |time| wait(condition, mutex, clock, time))
    }
}

/// # Safety
/// As pthread_clockjoin_np(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_clockjoin_np(
    thread: usize,
    result: *mut *mut c_void,
    clock: c_int,
    time: *const Time,
) -> c_int {
    type Join = unsafe extern "C" fn(usize, *mut *mut c_void, c_int, *const Time) -> c_int;
    unsafe {
        let Some(join) = next::CLOCKJOIN.function::<Join>() else { return EINVAL };
        in_machine_time(clock, time, |time| join(thread, result, clock, time))
    }
}

/// # Safety
/// As sem_clockwait(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sem_clockwait(semaphore: *mut c_void, clock: c_int, time: *const Time) -> c_int {
    unsafe { take(&next::SEM_CLOCKWAIT, semaphore, clock, time).unwrap_or_else(|| next::fail(EINVAL)) }
}

/// # Safety
/// As pthread_mutex_clocklock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutex_clocklock(
    mutex: *mut c_void,
    clock: c_int,
    time: *const Time,
) -> c_int {
    unsafe { take(&next::MUTEX_CLOCKLOCK, mutex, clock, time).unwrap_or(EINVAL) }
}

/// # Safety
/// As pthread_rwlock_clockrdlock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_rwlock_clockrdlock(
    lock: *mut c_void,
    clock: c_int,
    time: *const Time,
) -> c_int {
    unsafe { take(&next::RWLOCK_CLOCKRDLOCK, lock, clock, time).unwrap_or(EINVAL) }
}

/// # Safety
/// As pthread_rwlock_clockwrlock(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_rwlock_clockwrlock(
    lock: *mut c_void,
    clock: c_int,
    time: *const Time,
) -> c_int {
    unsafe { take(&next::RWLOCK_CLOCKWRLOCK, lock, clock, time).unwrap_or(EINVAL) }
}

/// Waits for a lock, if the C library is new enough to know how.
unsafe fn take(next: &Next, lock: *mut c_void, clock: c_int, time: *const Time) -> Option<c_int> {
    type Take = unsafe extern "C" fn(*mut c_void, c_int, *const Time) -> c_int;
    let take: Take = unsafe { next.function() }?;
    Some(unsafe { in_machine_time(clock, time, |time| take(lock, clock, time)) })
}
