//! Refuses CRIU a thread that computes with arm64's scalable vectors (SVE), for as long as it does.
//!
//! CRIU 4.2 keeps 128 bits of each vector register and no predicate (compel/arch/aarch64/src/lib/infect.c, `get_task_regs`), and its own
//! code in the process leaves no more of them either: the thread would go on with zeros, and nobody would know. A system call ends that
//! state (Linux, Documentation/arch/arm64/sve.rst), so that most threads are met without it at the next attempt.

use core::ffi::c_int;

/// Whether this thread, which CRIU has stopped, has what would be lost.
#[cfg(target_arch = "x86_64")]
pub fn would_be_lost(_thread: c_int) -> bool {
    false
}

#[cfg(target_arch = "aarch64")]
pub use scalable::would_be_lost;

#[cfg(target_arch = "aarch64")]
mod scalable {
    use super::c_int;
    use crate::kernel;
    use crate::shared_code::{GETREGSET, PTRACE};

    /// What a kernel has that knows SVE, and a thread on a processor that has it (elf.h).
    const NT_ARM_SVE: usize = 0x405;
    /// struct user_sve_header, which the registers follow, in halves of words (asm/ptrace.h): which of them the flags are.
    const HEADER: usize = 8;
    const FLAGS: usize = 6;
    /// Of the flags: the registers are those of SVE, and not the old ones alone (`SVE_PT_REGS_SVE`).
    const LIVE: u16 = 1;

    pub fn would_be_lost(thread: c_int) -> bool {
        let mut header = [0_u16; HEADER];
        let asked = [header.as_mut_ptr() as usize, size_of_val(&header)];
        let arguments = [GETREGSET as usize, thread as usize, NT_ARM_SVE, asked.as_ptr() as usize, 0, 0];
        let told = unsafe { kernel::call(PTRACE, arguments) };
        told == 0 && header[FLAGS] & LIVE != 0
    }
}
