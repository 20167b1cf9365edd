//! Lets CRIU set what there is to set of the IPC namespace that it makes for a tree: ids that System V's objects had, and limits.
//!
//! /proc/sys is read-only in a container, since another mount of it covers the one that is part of /proc. A copy of the latter has no such
//! cover (open_tree(2)), and what belongs to a namespace of one's own the kernel lets one set (ipc/ipc_sysctl.c, `ipc_permissions`).

use core::ffi::{c_char, c_int};

use crate::{kernel, told};

/// The same on every architecture, as all new ones.
const OPEN_TREE: usize = 428;
const OPEN_TREE_CLONE: usize = 1;
const EROFS: isize = -30;

/// What CRIU sets (criu/ipc_ns.c), below /proc.
const OF_NAMESPACE: [&[u8]; 5] =
    [b"sys/kernel/sem", b"sys/kernel/msg", b"sys/kernel/shm", b"sys/kernel/auto_msgmni", b"sys/fs/mqueue/"];

/// # Safety
/// As openat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(directory: c_int, path: *const c_char, flags: c_int, mode: u32) -> c_int {
    let open = |directory: usize| {
        let arguments = [directory, path as usize, flags as usize, mode as usize, 0, 0];
        unsafe { kernel::call(kernel::nr::OPENAT, arguments) }
    };
    let opened = open(directory as usize);
    let is_of_namespace = || OF_NAMESPACE.iter().any(|start| unsafe { begins(path, start) });
    if opened != EROFS || !is_of_namespace() {
        return told(opened) as c_int;
    }
    let arguments = [
        kernel::AT_FDCWD as usize,
        c"/proc".as_ptr() as usize,
        OPEN_TREE_CLONE | kernel::O_CLOEXEC,
        0,
        0,
        0,
    ];
    let copy = unsafe { kernel::call(OPEN_TREE, arguments) };
    if copy < 0 {
        return told(opened) as c_int;
    }
    let opened = open(copy as usize);
    unsafe { kernel::call(kernel::nr::CLOSE, [copy as usize, 0, 0, 0, 0, 0]) };
    told(opened) as c_int
}

unsafe fn begins(path: *const c_char, start: &[u8]) -> bool {
    start.iter().enumerate().all(|(i, byte)| unsafe { *path.cast::<u8>().add(i) } == *byte)
}
