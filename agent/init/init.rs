//! The root of the application's process tree.
//!
//! The agent cannot be that root, since it is not part of what is frozen; the application cannot either, since few
//! programs reap orphans. So this program stands between them: a child subreaper (prctl(2)) that adopts whatever the
//! application leaves behind, reaps it, passes signals on, and ends as the application ends.
//!
//! It is mapped into every image, and CRIU restores a mapping only from an identical file. A generation therefore
//! carries its own copy, and this program must stay small: no libc, no allocation, no other crate.
//!
//! Usage: `init PATH ARGV0 [ARG…]`. Execs PATH as its one direct child.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const GETPID: usize = 39;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const SETSID: usize = 112;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
    pub const SETRLIMIT: usize = 160;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod nr {
    pub const IOCTL: usize = 29;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const SETSID: usize = 157;
    pub const SETRLIMIT: usize = 164;
    pub const PRCTL: usize = 167;
    pub const GETPID: usize = 172;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const WAIT4: usize = 260;
}

const SIGCHLD: usize = 17;
const SIG_SETMASK: usize = 2;
const SIGSET_BYTES: usize = 8;
const WNOHANG: usize = 1;
const PR_SET_CHILD_SUBREAPER: usize = 36;
const TIOCSCTTY: usize = 0x540e;
const RLIMIT_CORE: usize = 4;
const ENOENT: isize = -2;
/// What a shell answers for a command that is not there, or that cannot be executed (POSIX, 2.8.2).
const NOT_FOUND: usize = 127;
const NOT_EXECUTABLE: usize = 126;

static ALL_SIGNALS: u64 = !0;
static NO_SIGNALS: u64 = 0;

// Not on the stack: to fill an array there, the compiler may call a memset, which nobody provides.
/// struct rlimit: neither a soft nor a hard limit above zero.
static NO_CORE: [u64; 2] = [0; 2];
/// struct sigaction: SIG_DFL with no flags is all zero.
static DEFAULT_ACTION: [u64; 4] = [0; 4];

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call {}", "ud2", sym main);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {}", "brk 1", sym main);

#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") 0, lateout("rcx") _, lateout("r11") _);
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result;
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
             in("x4") 0);
    }
    result
}

/// `stack` is what the kernel left for a new program: argc, argv, a null, envp.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    unsafe {
        let argc = *stack;
        let argv = stack.add(1);
        let envp = argv.add(argc + 1);
        block(&ALL_SIGNALS);
        syscall(nr::SETSID, 0, 0, 0, 0);
        syscall(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0);
        let application = syscall(nr::CLONE, SIGCHLD, 0, 0, 0);
        match application {
            0 => become_application(argv, envp),
            pid if pid > 0 => serve(pid as usize),
            _ => exit(NOT_EXECUTABLE),
        }
    }
}

unsafe fn become_application(argv: *const usize, envp: *const usize) -> ! {
    unsafe {
        syscall(nr::SETSID, 0, 0, 0, 0);
        // The container's terminal, if it has one: otherwise no key interrupts, and a shell has no jobs.
        syscall(nr::IOCTL, 0, TIOCSCTTY, 0, 0);
        block(&NO_SIGNALS);
        let error = syscall(nr::EXECVE, *argv.add(1), argv.add(2) as usize, envp as usize, 0);
        exit(if error == ENOENT { NOT_FOUND } else { NOT_EXECUTABLE })
    }
}

/// Sleeps until a signal comes: a child's end is reaped, anything else belongs to the application.
unsafe fn serve(application: usize) -> ! {
    loop {
        let signal =
            unsafe { syscall(nr::RT_SIGTIMEDWAIT, &raw const ALL_SIGNALS as usize, 0, 0, SIGSET_BYTES) };
        if signal == SIGCHLD as isize {
            unsafe { reap(application) };
        } else if signal > 0 {
            unsafe { syscall(nr::KILL, application, signal as usize, 0, 0) };
        }
    }
}

/// Reaps all that can be reaped: signals of one kind coalesce, so one SIGCHLD may stand for many children.
unsafe fn reap(application: usize) {
    loop {
        let mut status = 0_i32;
        let pid = unsafe { syscall(nr::WAIT4, usize::MAX, &raw mut status as usize, WNOHANG, 0) };
        if pid <= 0 {
            return;
        }
        if pid as usize == application {
            unsafe { end_like(status as usize) };
        }
    }
}

/// Ends with the application's exit status, or by the signal that ended it (wait(2)'s encoding).
unsafe fn end_like(status: usize) -> ! {
    let signal = status & 0x7f;
    if signal == 0 {
        unsafe { exit(status >> 8 & 0xff) };
    }
    unsafe {
        // The core that matters is the application's.
        syscall(nr::SETRLIMIT, RLIMIT_CORE, NO_CORE.as_ptr() as usize, 0, 0);
        syscall(nr::RT_SIGACTION, signal, DEFAULT_ACTION.as_ptr() as usize, 0, SIGSET_BYTES);
        syscall(nr::KILL, syscall(nr::GETPID, 0, 0, 0, 0) as usize, signal, 0, 0);
        block(&NO_SIGNALS);
        exit(128 + signal)
    }
}

unsafe fn block(signals: &'static u64) {
    unsafe {
        syscall(nr::RT_SIGPROCMASK, SIG_SETMASK, signals as *const u64 as usize, 0, SIGSET_BYTES);
    }
}

unsafe fn exit(code: usize) -> ! {
    loop {
        unsafe { syscall(nr::EXIT_GROUP, code, 0, 0, 0) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { exit(NOT_EXECUTABLE) }
}
