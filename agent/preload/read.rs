//! Reads the clocks.

use core::ffi::c_int;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, compiler_fence};

use crate::page::{CLOCKS, Page, STUB_HEAD, STUB_MASK, Time};
use crate::{kernel, next, start};

const EFAULT: c_int = 14;

/// # Safety
/// As clock_gettime(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Time) -> c_int {
    let page = start::PAGE.load(Relaxed);
    let result = if page.is_null() || clock as usize >= CLOCKS {
        unsafe { without_page(clock, time) }
    } else {
        unsafe { shifted(&*page, clock, time) }
    };
    match result {
        // A preloaded function has set errno already; the vDSO returns what the kernel would.
        0 | -1 => result,
        error => next::fail(-error),
    }
}

#[cold]
unsafe fn without_page(clock: c_int, time: *mut Time) -> c_int {
    match start::page() {
        Some(page) if (clock as usize) < CLOCKS => unsafe { shifted(page, clock, time) },
        _ => unsafe { start::clock()(clock, time) },
    }
}

/// When the thread was frozen on its way, it has the time of one machine and the offset of another.
#[inline(always)]
unsafe fn shifted(page: *const Page, clock: c_int, time: *mut Time) -> c_int {
    unsafe {
        let read = start::clock();
        loop {
            let moves = (*page).moves.load(Relaxed);
            compiler_fence(SeqCst);
            let result = read(clock, time);
            let offset = (&raw const (*page).offsets[clock as usize & (CLOCKS - 1)]).read_volatile();
            let head = (read as *const u64).read_unaligned();
            compiler_fence(SeqCst);
            if (*page).moves.load(Relaxed) != moves {
                continue;
            }
            if result == 0 && head & STUB_MASK != STUB_HEAD {
                *time = (*time).plus(offset);
            }
            return result;
        }
    }
}

/// # Safety
/// As times(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn times(buffer: *mut core::ffi::c_void) -> core::ffi::c_long {
    loop {
        let page = start::page();
        let moves = page.map(|page| page.moves.load(Relaxed));
        let ticks = unsafe { kernel::call(kernel::nr::TIMES, [buffer as usize, 0, 0, 0, 0, 0]) };
        let offset = page.map_or(0, |page| unsafe { (&raw const page.ticks).read_volatile() });
        if page.map(|page| page.moves.load(Relaxed)) != moves {
            continue;
        }
        // All other values are times, which may be negative.
        if ticks == -EFAULT as isize {
            return next::fail(EFAULT).into();
        }
        return (ticks as i64).wrapping_add(offset);
    }
}
