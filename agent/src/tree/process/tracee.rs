//! Has a thread of another process, which this thread traces, make a system call.
//!
//! The thread goes on where it stood as if there had been none: a call that it was in is made again, as the kernel does it itself
//! after a signal without a handler (signal(7), «Interruption of system calls»).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;
use nix::libc::user_regs_struct as Registers;
use nix::sys::ptrace;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::base::limits;
use machine::SYSTEM_CALL;

/// Traces the first thread of a process while this is done, and has it stand still.
///
/// # Errors
/// It cannot be traced, or what is done fails.
pub fn while_stopped<T>(pid: i32, what: impl FnOnce(Pid) -> io::Result<T>) -> io::Result<T> {
    let thread = Pid::from_raw(pid);
    ptrace::seize(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
    let outcome = ptrace::interrupt(thread).map_err(io::Error::from).and_then(|()| {
        next_stop(thread)?;
        what(thread)
    });
    ptrace::detach(thread, None)?;
    outcome
}

/// [`call`] with a pointer to `bytes` as its third argument. What its stack held there before, it holds again.
///
/// # Errors
/// As [`call`].
pub fn call_with(
    thread: Pid,
    number: libc::c_long,
    [first, second]: [u64; 2],
    bytes: &[u8],
) -> io::Result<i64> {
    let (at, memory, mut before) =
        (room_on_stack(thread, bytes.len())?, memory(thread)?, vec![0; bytes.len()]);
    memory.read_exact_at(&mut before, at)?;
    memory.write_all_at(bytes, at)?;
    let outcome = call(thread, number, [first, second, at, 0, 0]);
    memory.write_all_at(&before, at)?;
    outcome
}

/// Makes `thread`, a tracee that stands still and was attached with `PTRACE_O_TRACESYSGOOD`, call the kernel with this number and these arguments. Returns what the kernel answered.
///
/// # Errors
/// The kernel's own, or the thread cannot be made to.
pub fn call(thread: Pid, number: libc::c_long, arguments: [u64; 5]) -> io::Result<i64> {
    let before = ptrace::getregs(thread)?;
    let at = find_system_call(thread, machine::at(&before))?;
    let mask = hold_signals(thread)?;
    ptrace::setregs(thread, machine::calling(before, at, number.cast_unsigned(), arguments))?;
    let answered = into_and_out_of_it(thread).and_then(|()| Ok(machine::answer(&ptrace::getregs(thread)?)));
    ptrace::setregs(thread, machine::going_on(before))?;
    let_signals(thread, mask)?;
    match answered? {
        error @ -4095..0 => Err(io::Error::from_raw_os_error(-error as i32)),
        answer => Ok(answer),
    }
}

/// Has no signal delivered to a tracee: its handler would be elsewhere. Returns what it has blocked itself. Only the signal that tells of a
/// single step must not be blocked, for the kernel would take the program's handler of it away (Linux, `force_sig_info_to_task`).
///
/// # Errors
/// It does not stand still.
pub fn hold_signals(thread: Pid) -> io::Result<u64> {
    let blocked = signal_mask(thread, libc::PTRACE_GETSIGMASK, 0)?;
    let_signals(thread, !(1 << (libc::SIGTRAP - 1)))?;
    Ok(blocked)
}

/// Has a tracee block these signals.
///
/// # Errors
/// It does not stand still.
pub fn let_signals(thread: Pid, blocked: u64) -> io::Result<()> {
    signal_mask(thread, libc::PTRACE_SETSIGMASK, blocked).map(drop)
}

fn signal_mask(thread: Pid, request: u32, mut mask: u64) -> io::Result<u64> {
    // SAFETY: the kernel reads or writes as many bytes as it is told (ptrace(2)).
    let done = unsafe { libc::ptrace(request as _, thread.as_raw(), size_of::<u64>(), &raw mut mask) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(mask) }
}

/// Where the stack of a tracee that stands still has room for `length` bytes: beyond what functions may use below its end.
fn room_on_stack(thread: Pid, length: usize) -> io::Result<u64> {
    let below =
        machine::stack(&ptrace::getregs(thread)?).saturating_sub(limits::RED_ZONE_BYTES + length as u64);
    Ok(below & !15)
}

fn into_and_out_of_it(thread: Pid) -> io::Result<()> {
    for _ in 0..2 {
        ptrace::syscall(thread, None)?;
        let stopped = next_stop(thread)?;
        if !matches!(stopped, WaitStatus::PtraceSyscall(_)) {
            return Err(io::Error::other(format!("thread {thread} did not make a system call: {stopped:?}")));
        }
    }
    Ok(())
}

/// An instruction that calls the kernel, near to where the thread stands, which mostly is right behind one.
fn find_system_call(thread: Pid, near: u64) -> io::Result<u64> {
    let from = near as usize % limits::PAGE_BYTES;
    let page = near - from as u64;
    let mut code = [0; limits::PAGE_BYTES];
    memory(thread)?.read_exact_at(&mut code, page)?;
    let is_one = |at: &usize| at.is_multiple_of(machine::ALIGNED) && code[*at..].starts_with(&SYSTEM_CALL);
    let found = (0..from).rev().chain(from..code.len()).find(is_one);
    found
        .map(|at| page + at as u64)
        .ok_or_else(|| io::Error::other(format!("thread {thread} stands nowhere near a system call")))
}

/// The memory of a tracee, to be read and written, also where it may not itself (proc_pid_mem(5)).
///
/// # Errors
/// It has ended.
pub fn memory(thread: Pid) -> io::Result<File> {
    File::options().read(true).write(true).open(format!("/proc/{thread}/mem"))
}

/// Waits for a tracee's next stop. Its end is only seen and left to whoever waits for it. A stop for a signal is an event of the
/// number 0 (waitid(2), `CLD_TRAPPED`).
///
/// # Errors
/// It is none of our tracees.
pub fn next_stop(pid: Pid) -> io::Result<WaitStatus> {
    let stops = WaitPidFlag::WSTOPPED | WaitPidFlag::__WALL;
    loop {
        match waitid(Id::Pid(pid), stops | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(Errno::EINTR) => continue,
            Ok(ended @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..))) => return Ok(ended),
            seen => seen?,
        };
        // It may be killed in between, and then there is no stop any more.
        match waitid(Id::Pid(pid), stops | WaitPidFlag::WNOHANG) {
            Err(Errno::EINTR) | Ok(WaitStatus::StillAlive) => {}
            taken => return Ok(taken?),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::Registers;

    /// `syscall`.
    pub const SYSTEM_CALL: [u8; 2] = [0x0f, 0x05];
    pub const ALIGNED: usize = 1;

    pub fn at(registers: &Registers) -> u64 {
        registers.rip
    }

    pub fn stack(registers: &Registers) -> u64 {
        registers.rsp
    }

    pub fn calling(before: Registers, at: u64, number: u64, arguments: [u64; 5]) -> Registers {
        let [rdi, rsi, rdx, r10, r8] = arguments;
        // Not inside a system call, as far as the kernel's restart logic is concerned.
        Registers { rip: at, rax: number, orig_rax: u64::MAX, rdi, rsi, rdx, r10, r8, ..before }
    }

    pub fn answer(registers: &Registers) -> i64 {
        registers.rax.cast_signed()
    }

    /// `ERESTARTSYS`, `ERESTARTNOINTR` and `ERESTARTNOHAND`, then `ERESTART_RESTARTBLOCK` (Linux, `include/linux/errno.h`): they
    /// never reach a program.
    pub fn going_on(before: Registers) -> Registers {
        let again =
            |rax| Registers { rip: before.rip - SYSTEM_CALL.len() as u64, rax, orig_rax: u64::MAX, ..before };
        match (before.orig_rax.cast_signed(), before.rax.cast_signed()) {
            (..0, _) => before,
            (_, -514..=-512) => again(before.orig_rax),
            (_, -516) => again(libc::SYS_restart_syscall.cast_unsigned()),
            _ => before,
        }
    }
}

/// Nobody has run this. The kernel turns the thread back to its call before it stops (Linux, `arch/arm64/kernel/signal.c`).
#[cfg(target_arch = "aarch64")]
mod machine {
    use super::Registers;

    /// `svc #0`.
    pub const SYSTEM_CALL: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];
    pub const ALIGNED: usize = 4;

    pub fn at(registers: &Registers) -> u64 {
        registers.pc
    }

    pub fn stack(registers: &Registers) -> u64 {
        registers.sp
    }

    pub fn calling(mut before: Registers, at: u64, number: u64, arguments: [u64; 5]) -> Registers {
        before.regs[..5].copy_from_slice(&arguments);
        before.regs[8] = number;
        before.pc = at;
        before
    }

    pub fn answer(registers: &Registers) -> i64 {
        registers.regs[0].cast_signed()
    }

    pub fn going_on(before: Registers) -> Registers {
        before
    }
}
