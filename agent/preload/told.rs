//! How a library that CRIU is preloaded with tells as a C function does, and how it ends where it cannot go on.

use core::ffi::c_int;

use crate::kernel;

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// As a C function tells what the kernel says.
pub extern "C" fn told(result: isize) -> isize {
    if (-4095..0).contains(&result) {
        unsafe { *__errno_location() = -result as c_int };
        return -1;
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        kernel::abort();
    }
}
