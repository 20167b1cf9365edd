//! Moves a PID namespace's counter past the reserved ids.
//!
//! At a restore every id of the tree must be free in a container that already runs the agent and CRIU. The kernel
//! reserves the ids below 300 once the counter has passed 300 (`RESERVED_PIDS` in kernel/pid.c), so the tree lives
//! above for ever, and what a restore needs to run first lives below. `clone3` with `set_tid` is no way: it does not
//! move the counter, and the children of a process with a high id get low ones.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use crate::base::limits;

/// Stack of the short-lived thread, which runs one function of no frames to speak of.
const STACK_BYTES: usize = 16 << 10;

/// A thread of ours that shares everything, and that suspends us until it has ended. Threads take ids as processes do,
/// and cost half of what processes cost, since nobody has to wait for them.
const BRIEF_THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_VFORK;

/// Uses up ids until the next one is [`limits::FIRST_TREE_PID`] or above. Some fifteen microseconds for each.
///
/// # Errors
/// No thread can be made; the pod's limit of processes is the likely cause.
pub fn pass_reserved() -> io::Result<()> {
    on_one_processor(|| {
        let mut stack = stack();
        // The last id used must be 299 or more, so that the next is 300 or more.
        while use_up_one(&mut stack)? < limits::FIRST_TREE_PID - 1 {}
        Ok(())
    })
}

/// Whether an attempt to restore finds enough ids below the reserved ones. Uses up one.
///
/// # Errors
/// No thread can be made.
pub fn are_left() -> io::Result<bool> {
    let id = on_one_processor(|| use_up_one(&mut stack()))?;
    Ok(*room_after(id).end() < limits::FIRST_TREE_PID)
}

/// Uses up ids until those that follow are none of `taken`: where the counter has passed the reserved ids, since other commands ran in
/// the container or attempts failed, what a restore runs first would take ids of the tree.
///
/// # Errors
/// No thread can be made, or there is no room between them.
pub fn make_way(taken: &BTreeSet<i32>) -> io::Result<()> {
    on_one_processor(|| {
        let mut stack = stack();
        let mut id = use_up_one(&mut stack)?;
        for _ in 0..limits::IDS_PASSED_MAX {
            if taken.range(room_after(id)).next().is_none() {
                return Ok(());
            }
            id = use_up_one(&mut stack)?;
        }
        Err(io::Error::other("the ids of the tree leave no room between them"))
    })
}

/// The ids that an attempt may use when this one was the last.
fn room_after(id: i32) -> RangeInclusive<i32> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let room = i32::try_from(limits::IDS_OF_AN_ATTEMPT + processors).unwrap_or(i32::MAX);
    id.saturating_add(1)..=id.saturating_add(room)
}

fn stack() -> Vec<u128> {
    vec![0; STACK_BYTES / size_of::<u128>()]
}

/// Keeps this thread and those it makes on the processor where it is. Spread over two, each handing over would wake a
/// sleeping processor, which on a virtual machine takes up to a millisecond.
fn on_one_processor<T>(work: impl FnOnce() -> T) -> T {
    let own = Pid::from_raw(0);
    let before = sched_getaffinity(own);
    let mut here = CpuSet::new();
    if before.is_ok() && sched_getcpu().and_then(|cpu| here.set(cpu)).is_ok() {
        let _ = sched_setaffinity(own, &here);
    }
    let result = work();
    if let Ok(before) = before {
        let _ = sched_setaffinity(own, &before);
    }
    result
}

extern "C" fn leave(_: *mut libc::c_void) -> libc::c_int {
    0
}

fn use_up_one(stack: &mut [u128]) -> io::Result<i32> {
    // SAFETY: CLONE_VFORK suspends this thread until the new one has ended, so the stack outlives its use, and what we
    // share, thread-local storage too, is used by one at a time. The function touches no memory. The stack's end is
    // aligned to 16, as the ABI wants it, since its items are.
    let id = unsafe {
        libc::clone(leave, stack.as_mut_ptr_range().end.cast(), BRIEF_THREAD, std::ptr::null_mut())
    };
    if id < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
}
