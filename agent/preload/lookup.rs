//! `dlsym`, by which some programs take the clock's functions from the C library itself (Java before 17, foreign function
//! interfaces): they get this library's in place of those that it passes on to.

use core::arch::naked_asm;
use core::ffi::{c_char, c_void};

use crate::next::{self, DLSYM, Next};
use crate::{read, rings, stat, system_calls, timers, waits};

/// Each function that is passed on to, and the one that stands before it.
static IN_FRONT: [(&Next, unsafe extern "C" fn()); 34] = {
    macro_rules! in_front {
        ($($next:ident $function:path),*) => {
            // SAFETY: nobody calls them by this type.
            [$((&next::$next, unsafe { core::mem::transmute::<*const (), unsafe extern "C" fn()>($function as *const ()) })),*]
        };
    }
    in_front!(
        CLOCK_GETTIME read::clock_gettime, CLOCK_NANOSLEEP waits::clock_nanosleep,
        COND_TIMEDWAIT waits::pthread_cond_timedwait, COND_CLOCKWAIT waits::pthread_cond_clockwait,
        MUTEX_CLOCKLOCK waits::pthread_mutex_clocklock, RWLOCK_CLOCKRDLOCK waits::pthread_rwlock_clockrdlock,
        RWLOCK_CLOCKWRLOCK waits::pthread_rwlock_clockwrlock, CLOCKJOIN waits::pthread_clockjoin_np,
        SEM_CLOCKWAIT waits::sem_clockwait, TIMERFD_SETTIME timers::timerfd_settime,
        TIMER_CREATE timers::timer_create, TIMER_DELETE timers::timer_delete, TIMER_SETTIME timers::timer_settime,
        IO_URING_QUEUE_INIT rings::io_uring_queue_init, IO_URING_QUEUE_INIT_PARAMS rings::io_uring_queue_init_params,
        IO_URING_QUEUE_INIT_MEM rings::io_uring_queue_init_mem, SYSCALL system_calls::syscall,
        STAT stat::stat, STAT64 stat::stat64, FSTAT stat::fstat, FSTAT64 stat::fstat64, LSTAT stat::lstat, LSTAT64 stat::lstat64,
        FSTATAT stat::fstatat, FSTATAT64 stat::fstatat64, STATX stat::statx, XSTAT stat::__xstat, XSTAT64 stat::__xstat64,
        FXSTAT stat::__fxstat, FXSTAT64 stat::__fxstat64, LXSTAT stat::__lxstat, LXSTAT64 stat::__lxstat64,
        FXSTATAT stat::__fxstatat, FXSTATAT64 stat::__fxstatat64
    )
};

/// The default scope (0) has this library's functions already, and what is next (-1) depends on who calls: only a
/// jump keeps the return address by which the C library tells.
///
/// # Safety
/// As dlsym(3).
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlsym() {
    naked_asm!(
        "lea rax, [rdi + 1]", "cmp rax, 1", "ja {of_library}",
        "mov rax, [rip + {next}]",
        "test rax, rax", "jz 2f",
        "jmp rax",
        "2: push rdi", "push rsi", "push rax",
        "call {look}",
        "pop rcx", "pop rsi", "pop rdi",
        "jmp rax",
        of_library = sym of_library, next = sym DLSYM, look = sym look,
    )
}

/// # Safety
/// As dlsym(3).
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlsym() {
    naked_asm!(
        "add x16, x0, #1", "cmp x16, #1", "b.hi {of_library}",
        "adrp x16, {next}", "ldr x16, [x16, :lo12:{next}]",
        "cbz x16, 2f",
        "br x16",
        "2: stp x0, x1, [sp, #-32]!", "str x30, [sp, #16]",
        "bl {look}",
        "mov x16, x0",
        "ldr x30, [sp, #16]", "ldp x0, x1, [sp], #32",
        "br x16",
        of_library = sym of_library, next = sym DLSYM, look = sym look,
    )
}

/// What to jump to, before the library is ready: other libraries' constructors may come first.
extern "C" fn look() -> usize {
    match DLSYM.address() {
        0 => none as *const () as usize,
        address => address,
    }
}

extern "C" fn none(_: *mut c_void, _: *const c_char) -> *mut c_void {
    core::ptr::null_mut()
}

unsafe extern "C" fn of_library(library: *mut c_void, name: *const c_char) -> *mut c_void {
    type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
    let Some(dlsym) = (unsafe { DLSYM.function::<Dlsym>() }) else { return core::ptr::null_mut() };
    let found = unsafe { dlsym(library, name) };
    if found.is_null() {
        return found;
    }
    let ours = IN_FRONT.iter().find(|(next, _)| next.is(found.addr()));
    ours.map_or(found, |(_, function)| *function as *mut c_void)
}
