//! Tells CRIU the limits of a process that belongs to another user.
//!
//! CRIU asks for them by `syscall(__NR_prlimit64, …)` (criu/cr-dump.c, `dump_task_rlimits`), which takes SYS_RESOURCE for a process of
//! another user, and a pod has no such right. The kernel shows the same limits to everybody in /proc/PID/limits
//! (proc_pid_limits(5)). All other system calls pass as they are.

use core::arch::naked_asm;
use core::ffi::c_int;
use core::mem::MaybeUninit;

use crate::{kernel, told};

/// prlimit(2).
#[cfg(target_arch = "x86_64")]
const PRLIMIT64: usize = 302;
#[cfg(target_arch = "aarch64")]
const PRLIMIT64: usize = 261;

const EPERM: isize = -1;
const UNLIMITED: u64 = u64::MAX;

/// Above all limits of a process, each a row of 80 bytes at most.
const FILE_BYTES: usize = 4096;
/// A row begins with the limit's name, which has spaces in it.
const NAME_BYTES: usize = 26;

/// syscall(2). In assembly, since a child of `clone` may come back on another stack.
///
/// # Safety
/// As the system call that is made.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall() {
    naked_asm!(
        "cmp rdi, {prlimit64}", "je {ask}",
        "mov rax, rdi", "mov rdi, rsi", "mov rsi, rdx", "mov rdx, rcx", "mov r10, r8", "mov r8, r9", "mov r9, [rsp + 8]",
        "syscall",
        "cmp rax, -4095", "jae 2f",
        "ret",
        "2: mov rdi, rax", "jmp {told}",
        prlimit64 = const PRLIMIT64, ask = sym ask, told = sym told,
    )
}

/// # Safety
/// As the system call that is made.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall() {
    naked_asm!(
        "cmp x0, {prlimit64}", "b.eq {ask}",
        "mov x8, x0", "mov x0, x1", "mov x1, x2", "mov x2, x3", "mov x3, x4", "mov x4, x5", "mov x5, x6",
        "svc 0",
        "cmn x0, #4095", "b.hs {told}",
        "ret",
        prlimit64 = const PRLIMIT64, ask = sym ask, told = sym told,
    )
}

unsafe extern "C" fn ask(_: usize, process: c_int, resource: u32, new: usize, old: *mut [u64; 2]) -> isize {
    let arguments = [process as usize, resource as usize, new, old as usize, 0, 0];
    let asked = unsafe { kernel::call(PRLIMIT64, arguments) };
    if asked != EPERM || new != 0 || old.is_null() {
        return told(asked);
    }
    let mut file = MaybeUninit::<[u8; FILE_BYTES]>::uninit();
    let limits = unsafe { kernel::read_file(path(process, b"/limits").as_ptr(), &mut file) };
    match find(limits, resource as usize) {
        Some(found) => {
            unsafe { old.write(found) };
            0
        }
        None => told(asked),
    }
}

/// /proc/PID and `file`, with a zero behind it.
pub fn path(process: c_int, file: &[u8]) -> [u8; 32] {
    let mut digits = [0; 10];
    let mut rest = process.unsigned_abs();
    let mut count = 0;
    for digit in &mut digits {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.iter().take(count).rev();
    let mut path = [0; 32];
    path.iter_mut().zip(b"/proc/".iter().chain(digits).chain(file)).for_each(|(to, from)| *to = *from);
    path
}

/// The soft and the hard limit: behind a headline a row for each, in the order of their numbers (fs/proc/base.c, `proc_pid_limits`).
fn find(limits: &[u8], resource: usize) -> Option<[u64; 2]> {
    let row = limits.split(|byte| *byte == b'\n').nth(resource + 1)?;
    let mut words = row.get(NAME_BYTES..)?.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    Some([number(words.next()?)?, number(words.next()?)?])
}

fn number(word: &[u8]) -> Option<u64> {
    if word.iter().eq(b"unlimited") {
        return Some(UNLIMITED);
    }
    word.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}
