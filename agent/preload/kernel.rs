//! System calls, made without the C library: it may not be ready yet, and `errno` belongs to the program.

use core::arch::asm;
use core::mem::MaybeUninit;
use core::slice;

#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const READ: usize = 0;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const MUNMAP: usize = 11;
    /// stat, fstat and lstat.
    pub const STATS: [usize; 3] = [4, 5, 6];
    pub const TIMES: usize = 100;
    pub const SIGALTSTACK: usize = 131;
    pub const GETTID: usize = 186;
    pub const TKILL: usize = 200;
    pub const FUTEX: usize = 202;
    pub const TIMER_SETTIME: usize = 223;
    pub const CLOCK_GETTIME: usize = 228;
    pub const CLOCK_NANOSLEEP: usize = 230;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const NEWFSTATAT: usize = 262;
    pub const TIMERFD_SETTIME: usize = 286;
    pub const STATX: usize = 332;
}

#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const READ: usize = 63;
    pub const NEWFSTATAT: usize = 79;
    /// fstat alone: the others are called by NEWFSTATAT.
    pub const STATS: [usize; 1] = [80];
    pub const TIMERFD_SETTIME: usize = 86;
    pub const EXIT_GROUP: usize = 94;
    pub const FUTEX: usize = 98;
    pub const TIMER_SETTIME: usize = 110;
    pub const CLOCK_GETTIME: usize = 113;
    pub const CLOCK_NANOSLEEP: usize = 115;
    pub const TKILL: usize = 130;
    pub const SIGALTSTACK: usize = 132;
    pub const TIMES: usize = 153;
    pub const GETTID: usize = 178;
    pub const MUNMAP: usize = 215;
    pub const MMAP: usize = 222;
    pub const STATX: usize = 291;
}

/// The same on every architecture, as all new ones.
pub const IO_URING_SETUP: usize = 425;
pub const FUTEX_WAITV: usize = 449;
pub const FUTEX_WAIT: usize = 455;

pub const AT_FDCWD: isize = -100;
pub const O_RDONLY: usize = 0;
const O_RDWR: usize = 2;
pub const O_CLOEXEC: usize = 0o2_000_000;
const PROT_READ_WRITE: usize = 3;
const MAP_SHARED: usize = 1;
const SS_ONSTACK: i32 = 1;
const ESRCH: isize = -3;
const ABORTED: usize = 134;

/// # Safety
/// As the system call that is made.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// # Safety
/// As the system call that is made.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
             in("x4") e, in("x5") f);
    }
    result
}

pub fn thread_id() -> u32 {
    unsafe { call(nr::GETTID, [0; 6]) as u32 }
}

/// No longer a thread of any process.
pub fn is_gone(thread: u32) -> bool {
    unsafe { call(nr::TKILL, [thread as usize, 0, 0, 0, 0, 0]) == ESRCH }
}

/// In a signal handler that has a stack of its own (sigaltstack(2)).
pub fn on_alternate_stack() -> bool {
    #[repr(C)]
    struct Stack {
        start: usize,
        flags: i32,
        bytes: usize,
    }
    let mut now = Stack { start: 0, flags: 0, bytes: 0 };
    unsafe { call(nr::SIGALTSTACK, [0, &raw mut now as usize, 0, 0, 0, 0]) };
    now.flags & SS_ONSTACK != 0
}

/// Maps a file that is written by others too; `None` if there is none.
///
/// # Safety
/// `path` ends with a zero.
pub unsafe fn map_shared(path: *const u8, bytes: usize) -> Option<usize> {
    unsafe {
        let file = call(nr::OPENAT, [AT_FDCWD as usize, path as usize, O_RDWR | O_CLOEXEC, 0, 0, 0]);
        if file < 0 {
            return None;
        }
        let mapped = call(nr::MMAP, [0, bytes, PROT_READ_WRITE, MAP_SHARED, file as usize, 0]);
        call(nr::CLOSE, [file as usize, 0, 0, 0, 0, 0]);
        (mapped > 0).then_some(mapped as usize)
    }
}

/// # Safety
/// Nobody uses the mapping any more.
pub unsafe fn unmap(start: usize, bytes: usize) {
    unsafe { call(nr::MUNMAP, [start, bytes, 0, 0, 0, 0]) };
}

/// The beginning of a small file; nothing if it cannot be read.
///
/// # Safety
/// `path` ends with a zero.
pub unsafe fn read_file<const MOST: usize>(path: *const u8, into: &mut MaybeUninit<[u8; MOST]>) -> &[u8] {
    unsafe {
        let file = call(nr::OPENAT, [AT_FDCWD as usize, path as usize, O_RDONLY | O_CLOEXEC, 0, 0, 0]);
        if file < 0 {
            return &[];
        }
        let count = call(nr::READ, [file as usize, into.as_mut_ptr() as usize, MOST, 0, 0, 0]);
        call(nr::CLOSE, [file as usize, 0, 0, 0, 0, 0]);
        slice::from_raw_parts(into.as_ptr().cast(), count.max(0) as usize)
    }
}

pub fn abort() {
    unsafe { call(nr::EXIT_GROUP, [ABORTED, 0, 0, 0, 0, 0]) };
}
