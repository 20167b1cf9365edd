//! Moves a PID namespace's counter past the reserved ids.
//!
//! At a restore every id of the tree must be free in a container that already runs the agent and CRIU. The kernel
//! reserves the ids below 300 once the counter has passed 300 (`RESERVED_PIDS` in kernel/pid.c), so the tree lives
//! above for ever, and what a restore needs to run first lives below. `clone3` with `set_tid` is no way: it does not
//! move the counter, and the children of a process with a high id get low ones.

use std::io;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::limits;

/// Stack of the short-lived child, which runs one function of no frames to speak of.
const STACK_BYTES: usize = 16 << 10;

/// Uses up ids until the next one is [`limits::FIRST_TREE_PID`] or above. Some ten microseconds for each.
///
/// # Errors
/// No process can be made; the pod's limit of processes is the likely cause.
pub fn pass_reserved() -> io::Result<()> {
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    // The last id used must be 299 or more, so that the next is 300 or more.
    while use_up_one(&mut stack)? < limits::FIRST_TREE_PID - 1 {}
    Ok(())
}

extern "C" fn leave(_: *mut libc::c_void) -> libc::c_int {
    0
}

fn use_up_one(stack: &mut [u128]) -> io::Result<i32> {
    // No signal at its end: it is waited for by id here, and nobody else should wake for it.
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    // SAFETY: CLONE_VFORK suspends this thread until the child has ended, so the stack outlives its use, and the child
    // runs a function that touches no memory. Its end is aligned to 16, as the ABI wants it, since
    // its items are.
    let pid = unsafe { libc::clone(leave, stack.as_mut_ptr_range().end.cast(), flags, std::ptr::null_mut()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    loop {
        match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(pid),
        }
    }
}
