//! Has the processes that CRIU is about to let go die when it does.
//!
//! At the end of a restore CRIU traces every process, so that none runs before all can. The kernel lets a tracee go on when its tracer is
//! killed, unless the tracer has asked for its death (ptrace(2), `PTRACE_O_EXITKILL`), which CRIU does not: a part of the tree would
//! then run, and write, until the agent has found and ended it, and run the same steps again when it is restored once more.

use core::ffi::{c_int, c_long};

use crate::{kernel, told};

#[cfg(target_arch = "x86_64")]
const PTRACE: usize = 101;
#[cfg(target_arch = "aarch64")]
const PTRACE: usize = 117;

/// PTRACE_PEEKTEXT, PTRACE_PEEKDATA and PTRACE_PEEKUSER, for which the C function returns what the system call stores.
const PEEKS: core::ops::RangeInclusive<c_int> = 1..=3;
const SETOPTIONS: c_int = 0x4200;
const SEIZE: c_int = 0x4206;
const EXITKILL: usize = 1 << 20;

/// # Safety
/// As ptrace(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptrace(request: c_int, pid: c_int, address: usize, data: usize) -> c_long {
    let mut word = 0_usize;
    let data = match request {
        SEIZE | SETOPTIONS => data | EXITKILL,
        _ if PEEKS.contains(&request) => &raw mut word as usize,
        _ => data,
    };
    let result =
        told(unsafe { kernel::call(PTRACE, [request as usize, pid as usize, address, data, 0, 0]) });
    if result == 0 && PEEKS.contains(&request) { word as c_long } else { result as c_long }
}
