//! The functions that this library stands in front of: the next of the same name in the order of loading, which is the C library's
//! unless the user preloads something too.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::elf::{Library, PT_LOAD, Segment};
use crate::start;

unsafe extern "C" {
    // Both C libraries have it, glibc in libc.so.6 also where dlsym is still in libdl.so.2.
    fn dl_iterate_phdr(
        visit: unsafe extern "C" fn(*const Loaded, usize, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn __errno_location() -> *mut c_int;
}

/// The beginning of struct dl_phdr_info (dl_iterate_phdr(3)).
#[repr(C)]
pub struct Loaded {
    pub base: usize,
    pub name: *const c_char,
    segments: *const Segment,
    count: u16,
}

impl Loaded {
    fn segments(&self) -> impl Iterator<Item = &Segment> {
        (0..usize::from(self.count)).map(|i| unsafe { &*self.segments.add(i) })
    }

    /// Whether `address` lies in it.
    pub fn has(&self, address: usize) -> bool {
        self.segments().filter(|segment| segment.kind == PT_LOAD).any(|segment| {
            address.wrapping_sub(self.base + segment.address as usize) < segment.bytes as usize
        })
    }

    fn library(&self) -> Option<Library> {
        unsafe { Library::loaded(self.base, self.segments, self.count.into()) }
    }
}

/// A function to pass on to, once it has been looked for. The address comes first, since assembly jumps by it.
#[repr(C)]
pub struct Next {
    found: AtomicUsize,
    name: &'static CStr,
}

pub static CLOCK_GETTIME: Next = Next::named(c"clock_gettime");
pub static CLOCK_NANOSLEEP: Next = Next::named(c"clock_nanosleep");
pub static COND_TIMEDWAIT: Next = Next::named(c"pthread_cond_timedwait");
pub static COND_CLOCKWAIT: Next = Next::named(c"pthread_cond_clockwait");
pub static MUTEX_CLOCKLOCK: Next = Next::named(c"pthread_mutex_clocklock");
pub static RWLOCK_CLOCKRDLOCK: Next = Next::named(c"pthread_rwlock_clockrdlock");
pub static RWLOCK_CLOCKWRLOCK: Next = Next::named(c"pthread_rwlock_clockwrlock");
pub static CLOCKJOIN: Next = Next::named(c"pthread_clockjoin_np");
pub static SEM_CLOCKWAIT: Next = Next::named(c"sem_clockwait");
pub static TIMERFD_SETTIME: Next = Next::named(c"timerfd_settime");
pub static TIMER_CREATE: Next = Next::named(c"timer_create");
pub static TIMER_DELETE: Next = Next::named(c"timer_delete");
pub static TIMER_SETTIME: Next = Next::named(c"timer_settime");
pub static IO_URING_QUEUE_INIT: Next = Next::named(c"io_uring_queue_init");
pub static IO_URING_QUEUE_INIT_PARAMS: Next = Next::named(c"io_uring_queue_init_params");
pub static IO_URING_QUEUE_INIT_MEM: Next = Next::named(c"io_uring_queue_init_mem");
pub static SYSCALL: Next = Next::named(c"syscall");
pub static DLSYM: Next = Next::named(c"dlsym");
pub static STAT: Next = Next::named(c"stat");
pub static STAT64: Next = Next::named(c"stat64");
pub static FSTAT: Next = Next::named(c"fstat");
pub static FSTAT64: Next = Next::named(c"fstat64");
pub static LSTAT: Next = Next::named(c"lstat");
pub static LSTAT64: Next = Next::named(c"lstat64");
pub static FSTATAT: Next = Next::named(c"fstatat");
pub static FSTATAT64: Next = Next::named(c"fstatat64");
pub static STATX: Next = Next::named(c"statx");
pub static XSTAT: Next = Next::named(c"__xstat");
pub static XSTAT64: Next = Next::named(c"__xstat64");
pub static FXSTAT: Next = Next::named(c"__fxstat");
pub static FXSTAT64: Next = Next::named(c"__fxstat64");
pub static LXSTAT: Next = Next::named(c"__lxstat");
pub static LXSTAT64: Next = Next::named(c"__lxstat64");
pub static FXSTATAT: Next = Next::named(c"__fxstatat");
pub static FXSTATAT64: Next = Next::named(c"__fxstatat64");

/// What there is or is not from the start: programs call these where nothing can be looked for, as in a child of a thread.
static FROM_START: [&Next; 17] = [
    &STAT, &STAT64, &FSTAT, &FSTAT64, &LSTAT, &LSTAT64, &FSTATAT, &FSTATAT64, &STATX, &XSTAT, &XSTAT64, &FXSTAT,
    &FXSTAT64, &LXSTAT, &LXSTAT64, &FXSTATAT, &FXSTATAT64,
];

/// In place of the address of a function that there is not, and will not be.
const NONE: usize = 1;

impl Next {
    const fn named(name: &'static CStr) -> Next {
        Next { found: AtomicUsize::new(0), name }
    }

    /// Its address; zero if there is none (yet: glibc before 2.34 has its threads in a library that may be loaded later).
    pub fn address(&self) -> usize {
        match self.found.load(Relaxed) {
            0 => self.look(),
            NONE => 0,
            address => address,
        }
    }

    fn look_in(&self, library: &Library) {
        if self.found.load(Relaxed) == 0 {
            self.found.store(library.find(self.name).unwrap_or(0), Relaxed);
        }
    }

    fn look(&self) -> usize {
        let address = search(self.name).map_or(0, |(address, _)| address);
        self.found.store(address, Relaxed);
        address
    }

    /// The same as a function of this type.
    ///
    /// # Safety
    /// It is one of this type.
    pub unsafe fn function<F: Copy>(&self) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<usize>()) };
        match self.address() {
            0 => None,
            address => Some(unsafe { core::mem::transmute_copy(&address) }),
        }
    }

    /// Whether it is the function at `address`.
    pub fn is(&self, address: usize) -> bool {
        self.address() == address
    }
}

/// Looks for those that there are from the start.
pub fn settle() {
    let mut behind_us = false;
    unsafe { dl_iterate_phdr(settle_in, (&raw mut behind_us).cast()) };
    for next in &FROM_START {
        let _ = next.found.compare_exchange(0, NONE, Relaxed, Relaxed);
    }
}

unsafe extern "C" fn settle_in(loaded: *const Loaded, _: usize, behind_us: *mut c_void) -> c_int {
    let (loaded, behind_us) = unsafe { (&*loaded, &mut *behind_us.cast::<bool>()) };
    if !*behind_us {
        *behind_us = loaded.has(look_in as *const () as usize);
    } else if let Some(library) = loaded.library() {
        FROM_START.iter().for_each(|next| next.look_in(&library));
    }
    0
}

/// The next function of this name, and whether it is the C library's.
pub fn search(name: &'static CStr) -> Option<(usize, bool)> {
    let mut search = Search { name, behind_us: false, found: None };
    unsafe { dl_iterate_phdr(look_in, (&raw mut search).cast()) };
    search.found
}

struct Search {
    name: &'static CStr,
    behind_us: bool,
    found: Option<(usize, bool)>,
}

unsafe extern "C" fn look_in(loaded: *const Loaded, _: usize, search: *mut c_void) -> c_int {
    let (loaded, search) = unsafe { (&*loaded, &mut *search.cast::<Search>()) };
    if !search.behind_us {
        search.behind_us = loaded.has(look_in as *const () as usize);
        return 0;
    }
    // The vDSO has a clock_gettime too, but one that knows no errno.
    if loaded.has(start::vdso()) {
        return 0;
    }
    let Some(library) = loaded.library() else { return 0 };
    let Some(address) = library.find(search.name) else { return 0 };
    search.found = Some((address, library.find(c"__errno_location").is_some()));
    1
}

/// Calls `visit` with this library.
pub fn ourselves(visit: &mut dyn FnMut(&Loaded)) {
    struct Visit<'a>(&'a mut dyn FnMut(&Loaded));
    unsafe extern "C" fn each(loaded: *const Loaded, _: usize, visit: *mut c_void) -> c_int {
        let (loaded, visit) = unsafe { (&*loaded, &mut *visit.cast::<Visit<'_>>()) };
        if !loaded.has(look_in as *const () as usize) {
            return 0;
        }
        (visit.0)(loaded);
        1
    }
    let mut visit = Visit(visit);
    unsafe { dl_iterate_phdr(each, (&raw mut visit).cast()) };
}

/// As a C function fails.
pub fn fail(error: c_int) -> c_int {
    unsafe { *__errno_location() = error };
    -1
}
