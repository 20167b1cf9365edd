//! Has programs do without rings of io_uring(7), which CRIU cannot dump: they are told that the kernel has none, as an older one says.
//!
//! liburing calls the kernel by an instruction of its own, so its functions are stood in front of; they return the negative error.

use core::ffi::{c_int, c_uint, c_void};

use crate::next::{IO_URING_QUEUE_INIT, IO_URING_QUEUE_INIT_MEM, IO_URING_QUEUE_INIT_PARAMS};
use crate::start;

/// errno(3).
pub const ENOSYS: c_int = 38;

/// Whether the page says so.
pub fn are_refused() -> bool {
    start::page().is_some_and(|page| page.rings == 0)
}

/// # Safety
/// As io_uring_queue_init(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_init(entries: c_uint, ring: *mut c_void, flags: c_uint) -> c_int {
    type Init = unsafe extern "C" fn(c_uint, *mut c_void, c_uint) -> c_int;
    match unsafe { IO_URING_QUEUE_INIT.function::<Init>() } {
        Some(init) if !are_refused() => unsafe { init(entries, ring, flags) },
        _ => -ENOSYS,
    }
}

/// # Safety
/// As io_uring_queue_init_params(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_init_params(
    entries: c_uint,
    ring: *mut c_void,
    params: *mut c_void,
) -> c_int {
    type Init = unsafe extern "C" fn(c_uint, *mut c_void, *mut c_void) -> c_int;
    match unsafe { IO_URING_QUEUE_INIT_PARAMS.function::<Init>() } {
        Some(init) if !are_refused() => unsafe { init(entries, ring, params) },
        _ => -ENOSYS,
    }
}

/// # Safety
/// As io_uring_queue_init_mem(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_init_mem(
    entries: c_uint,
    ring: *mut c_void,
    params: *mut c_void,
    memory: *mut c_void,
    bytes: usize,
) -> c_int {
    type Init = unsafe extern "C" fn(c_uint, *mut c_void, *mut c_void, *mut c_void, usize) -> c_int;
    match unsafe { IO_URING_QUEUE_INIT_MEM.function::<Init>() } {
        Some(init) if !are_refused() => unsafe { init(entries, ring, params, memory, bytes) },
        _ => -ENOSYS,
    }
}
