//! Keeps what the kernel is told to wait for where it can be computed anew while the wait is in flight.
//!
//! A thread that was frozen in a wait asks the kernel again with the address that it gave (CRIU repeats a system call, or lets it
//! fail with EINTR and the C library repeats it). So the time lies in the page, beside the one that the program wanted.

use core::ffi::c_int;
use core::sync::atomic::{
    Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst, compiler_fence,
};

use crate::page::{CLOCKS, MONOTONIC, Page, REALTIME, SHIFTED, SLOTS, Slot, Time};
use crate::{kernel, start};

/// How many slots a thread looks at: enough that a few which others have left behind do not matter.
const WINDOW: usize = 16;

/// Since 2001 real time is past this, in seconds; no machine runs for 30 years.
const REAL_TIMES: i64 = 1_000_000_000;

/// struct itimerspec.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Timer {
    pub interval: Time,
    pub value: Time,
}

/// Which clock a time belongs to that does not say so.
pub fn guess(time: Time) -> c_int {
    if time.seconds < REAL_TIMES { MONOTONIC } else { REALTIME }
}

/// Whether the page has a say in times of this clock.
pub fn is_shifted(clock: c_int) -> bool {
    (clock as usize) < CLOCKS && SHIFTED & 1 << clock != 0
}

/// Calls `wait` with `wanted` in the machine's time, at an address where it stays right when the machine becomes another.
///
/// # Safety
/// `wanted` is null or a time.
pub unsafe fn in_machine_time<R>(
    clock: c_int,
    wanted: *const Time,
    wait: impl FnOnce(*const Time) -> R,
) -> R {
    if wanted.is_null() || !is_shifted(clock) || unsafe { !(*wanted).is_valid() } {
        return wait(wanted);
    }
    let timer = Timer { interval: Time::default(), value: unsafe { *wanted } };
    set_in_machine_time(clock, timer, |timer| wait(unsafe { &raw const (*timer).value }))
}

/// The same for a timer.
pub fn set_in_machine_time<R>(clock: c_int, wanted: Timer, set: impl FnOnce(*const Timer) -> R) -> R {
    let Some(page) = start::page() else { return set(&raw const wanted) };
    let Some(slot) = take(page, (&raw const wanted).addr()) else {
        return unslotted(page, clock, wanted, set);
    };
    fill(page, slot, clock, wanted);
    let result = set(slot.cast());
    give_back(slot);
    result
}

/// Right unless the thread is frozen meanwhile.
#[cold]
fn unslotted<R>(page: &Page, clock: c_int, mut wanted: Timer, set: impl FnOnce(*const Timer) -> R) -> R {
    wanted.value = wanted.value.on_machine(offset(page, clock));
    set(&raw const wanted)
}

fn offset(page: &Page, clock: c_int) -> Time {
    unsafe { (&raw const page.offsets[clock as usize & (CLOCKS - 1)]).read_volatile() }
}

fn slot_at(page: &Page, index: usize) -> *mut Slot {
    unsafe { (&raw const page.slots).cast::<Slot>().add(index & (SLOTS - 1)).cast_mut() }
}

/// A slot for the thread that runs, which waits at `frame` on its stack.
fn take(page: &Page, frame: usize) -> Option<*mut Slot> {
    let thread = kernel::thread_id();
    let near = |distance| slot_at(page, thread as usize + distance);
    let slot = (0..WINDOW).map(near).find(|slot| take_one(*slot, thread, frame));
    let slot = slot.or_else(|| (0..WINDOW).map(near).find(|slot| take_from_dead(*slot, thread)))?;
    unsafe { (*slot).frame.store(frame as u64, Relaxed) };
    Some(slot)
}

fn take_one(slot: *mut Slot, thread: u32, frame: usize) -> bool {
    let slot = unsafe { &*slot };
    match slot.owner.compare_exchange(0, thread, Acquire, Relaxed) {
        Ok(_) => true,
        // The thread's own: of a wait that a signal handler has interrupted, which is further up, or of one that was left by
        // longjmp.
        Err(owner) if owner == thread => {
            slot.frame.load(Relaxed) <= frame as u64 && !kernel::on_alternate_stack()
        }
        Err(_) => false,
    }
}

/// A thread that was cancelled or killed gives nothing back.
fn take_from_dead(slot: *mut Slot, thread: u32) -> bool {
    let owner = unsafe { &(*slot).owner };
    let dead = owner.load(Relaxed);
    kernel::is_gone(dead) && owner.compare_exchange(dead, thread, Acquire, Relaxed).is_ok()
}

/// The wanted time is whole before the given one is computed: from then on whoever moves the tree computes it.
fn fill(page: &Page, slot: *mut Slot, clock: c_int, wanted: Timer) {
    unsafe {
        (*slot).clock.store(clock, Relaxed);
        (&raw mut (*slot).interval).write_volatile(wanted.interval);
        (&raw mut (*slot).wanted).write_volatile(wanted.value);
        loop {
            compiler_fence(SeqCst);
            let moves = page.moves.load(Relaxed);
            compiler_fence(SeqCst);
            (&raw mut (*slot).given).write_volatile(wanted.value.on_machine(offset(page, clock)));
            compiler_fence(SeqCst);
            if page.moves.load(Relaxed) == moves {
                return;
            }
        }
    }
}

/// Only if it is the thread's still: a child that was forked in a signal handler during a wait goes on with its parent's.
fn give_back(slot: *mut Slot) {
    let _ = unsafe { (*slot).owner.compare_exchange(kernel::thread_id(), 0, Release, Relaxed) };
}
