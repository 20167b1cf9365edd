//! Has the processes that CRIU is about to let go die when it does, and notes for the agent which of them it has let go.
//!
//! At the end of a restore CRIU traces every process, so that none runs before all can. The kernel lets a tracee go on when its tracer is
//! killed, unless the tracer has asked for its death (ptrace(2), `PTRACE_O_EXITKILL`), which CRIU does not: a part of the tree would
//! then run, and write, until the agent has found and ended it, and run the same steps again when it is restored once more. A CRIU
//! that is killed when it has let go all of them leaves a tree that runs, and has told nobody yet.

use core::ffi::{c_int, c_long};

use crate::{kernel, told};

#[cfg(target_arch = "x86_64")]
const PTRACE: usize = 101;
#[cfg(target_arch = "x86_64")]
const WRITE: usize = 1;
#[cfg(target_arch = "aarch64")]
const PTRACE: usize = 117;
#[cfg(target_arch = "aarch64")]
const WRITE: usize = 64;

/// PTRACE_PEEKTEXT, PTRACE_PEEKDATA and PTRACE_PEEKUSER, for which the C function returns what the system call stores.
const PEEKS: core::ops::RangeInclusive<c_int> = 1..=3;
const DETACH: c_int = 17;
const SETOPTIONS: c_int = 0x4200;
const SEIZE: c_int = 0x4206;
const EXITKILL: usize = 1 << 20;

/// Where the agent reads what is noted (`src/tree/criu/preload.rs`): the thread's id when it is traced, its negative when it is let go.
const NOTES: usize = 195;

/// # Safety
/// As ptrace(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptrace(request: c_int, pid: c_int, address: usize, data: usize) -> c_long {
    if request == DETACH {
        // Before: what runs must never look as if it did not.
        note(-pid);
    }
    let mut word = 0_usize;
    let data = match request {
        SEIZE | SETOPTIONS => data | EXITKILL,
        _ if PEEKS.contains(&request) => &raw mut word as usize,
        _ => data,
    };
    let result =
        told(unsafe { kernel::call(PTRACE, [request as usize, pid as usize, address, data, 0, 0]) });
    if result == 0 && request == SEIZE {
        note(pid);
    }
    if result == 0 && PEEKS.contains(&request) { word as c_long } else { result as c_long }
}

fn note(thread: c_int) {
    let arguments = [NOTES, (&raw const thread) as usize, size_of::<c_int>(), 0, 0, 0];
    unsafe { kernel::call(WRITE, arguments) };
}
