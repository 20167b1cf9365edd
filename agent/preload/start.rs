//! Finds the page and the kernel's clock, when the program starts.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};

use crate::elf::Library;
use crate::page::{BYTES, MAGIC, Page, Time};
use crate::{kernel, next};

unsafe extern "C" {
    fn getauxval(kind: usize) -> usize;
}

/// getauxval(3).
const AT_SYSINFO_EHDR: usize = 33;

#[cfg(target_arch = "x86_64")]
const VDSO_CLOCK: &core::ffi::CStr = c"__vdso_clock_gettime";
#[cfg(target_arch = "aarch64")]
const VDSO_CLOCK: &core::ffi::CStr = c"__kernel_clock_gettime";

const SUFFIX: &[u8] = b".page\0";
const PATH_MAX: usize = 4096;

/// The page; null until it has been looked for, and where there is none.
pub static PAGE: AtomicPtr<Page> = AtomicPtr::new(core::ptr::null_mut());
static READY: AtomicBool = AtomicBool::new(false);

/// Reads a machine's clock.
pub type Clock = unsafe extern "C" fn(i32, *mut Time) -> i32;
static CLOCK: AtomicUsize = AtomicUsize::new(0);

// Other libraries' constructors may run before this one, and threads after.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = get_ready;

/// To do it twice is no harm.
pub extern "C" fn get_ready() {
    if READY.load(Relaxed) {
        return;
    }
    CLOCK.store(find_clock(), Relaxed);
    PAGE.store(find_page(), Relaxed);
    next::settle();
    next::SYSCALL.address();
    next::DLSYM.address();
    READY.store(true, Relaxed);
}

/// The page, if there is one.
pub fn page() -> Option<&'static Page> {
    get_ready();
    unsafe { PAGE.load(Relaxed).as_ref() }
}

/// What reads the machine's clock: the vDSO's function, or that of a library which the user preloads. CRIU keeps the vDSO where it
/// is, or has its functions jump to the new kernel's.
#[inline(always)]
pub fn clock() -> Clock {
    let found = CLOCK.load(Relaxed);
    let address = if found == 0 { find_clock() } else { found };
    unsafe { core::mem::transmute(address) }
}

/// Where the kernel has mapped its functions; zero if nowhere.
pub fn vdso() -> usize {
    unsafe { getauxval(AT_SYSINFO_EHDR) }
}

fn find_clock() -> usize {
    match next::search(c"clock_gettime") {
        Some((address, false)) => address,
        _ => vdso_clock().unwrap_or(ask_kernel as *const () as usize),
    }
}

fn vdso_clock() -> Option<usize> {
    match vdso() {
        0 => None,
        header => unsafe { Library::mapped_at(header) }?.find(VDSO_CLOCK),
    }
}

unsafe extern "C" fn ask_kernel(clock: i32, time: *mut Time) -> i32 {
    unsafe { kernel::call(kernel::nr::CLOCK_GETTIME, [clock as usize, time as usize, 0, 0, 0, 0]) as i32 }
}

fn find_page() -> *mut Page {
    let mut page = core::ptr::null_mut();
    next::ourselves(&mut |loaded| page = unsafe { map_beside(loaded.name.cast()) });
    page
}

/// # Safety
/// `library` ends with a zero.
unsafe fn map_beside(library: *const u8) -> *mut Page {
    let mut path = MaybeUninit::<[u8; PATH_MAX]>::uninit();
    let path = path.as_mut_ptr().cast::<u8>();
    unsafe {
        let mut length = 0;
        while *library.add(length) != 0 {
            path.add(length).write(*library.add(length));
            length += 1;
            if length + SUFFIX.len() > PATH_MAX {
                return core::ptr::null_mut();
            }
        }
        for (i, byte) in SUFFIX.iter().enumerate() {
            path.add(length + i).write(*byte);
        }
        map(path)
    }
}

/// # Safety
/// `path` ends with a zero.
unsafe fn map(path: *const u8) -> *mut Page {
    unsafe {
        let Some(start) = kernel::map_shared(path, BYTES) else { return core::ptr::null_mut() };
        let page = start as *mut Page;
        if (*page).magic == MAGIC {
            return page;
        }
        kernel::unmap(start, BYTES);
        core::ptr::null_mut()
    }
}
