//! Lets CRIU read what a tree has of System V (sysvipc(7)) in an IPC namespace of its own.
//!
//! CRIU asks whether shared memory is of huge pages by what its mapping leads to (criu/ipc_ns.c, `dump_shm_hugetlb_flag`), and /proc/PID/map_files
//! wants CHECKPOINT_RESTORE in the first user namespace for that. /proc/PID/maps tells everybody on which device it is.
//!
//! What belongs to another user only IPC_OWNER may read, which a pod does not have as a rule. What there is the kernel tells everybody who
//! asks for it by another number, and the rest is asked as that user.

use core::ffi::{c_char, c_int};

use crate::files;
use crate::maps;
use crate::{kernel, told};

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const SHMAT: usize = 30;
    pub const SHMCTL: usize = 31;
    pub const SEMCTL: usize = 66;
    pub const MSGRCV: usize = 70;
    pub const MSGCTL: usize = 71;
    pub const GETEUID: usize = 107;
    pub const SETRESUID: usize = 117;
    pub const NEWFSTATAT: usize = 262;
    /// Of `struct stat` (asm/stat.h).
    pub const STAT_BYTES: usize = 144;
}
#[cfg(target_arch = "aarch64")]
mod nr {
    pub const NEWFSTATAT: usize = 79;
    pub const SETRESUID: usize = 147;
    pub const GETEUID: usize = 175;
    pub const MSGCTL: usize = 187;
    pub const MSGRCV: usize = 188;
    pub const SEMCTL: usize = 191;
    pub const SHMCTL: usize = 195;
    pub const SHMAT: usize = 196;
    pub const STAT_BYTES: usize = 128;
}

const EPERM: isize = -1;
const EACCES: isize = -13;

const MAP_FILES: &[u8] = b"/proc/self/map_files/";

/// `SHM_STAT`, `SEM_STAT` and `MSG_STAT`, and what asks for the same and is answered to everybody (shmctl(2), `SHM_STAT_ANY`).
const SHM_STAT: (c_int, c_int) = (13, 15);
const SEM_STAT: (c_int, c_int) = (18, 20);
const MSG_STAT: (c_int, c_int) = (11, 13);

/// Where in what they answer the owner stands (asm-generic/ipcbuf.h): behind the key.
const OWNER_AT: usize = 4;
/// Nobody has this id (setresuid(2)): it stays as it is.
const UNCHANGED: usize = u32::MAX as usize;

/// Who owns what CRIU has asked for last: it reads one object after the other. It has one thread.
static mut OWNER: usize = UNCHANGED;

/// # Safety
/// As stat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stat64(path: *const c_char, into: *mut u8) -> c_int {
    let arguments = [kernel::AT_FDCWD as usize, path as usize, into as usize, 0, 0, 0];
    let result = unsafe { kernel::call(nr::NEWFSTATAT, arguments) };
    let device = if result == EPERM { unsafe { device_of_mapping(files::text(path)) } } else { None };
    let Some(device) = device else { return told(result) as c_int };
    unsafe {
        (0..nr::STAT_BYTES).for_each(|at| into.add(at).write(0));
        into.cast::<u64>().write_unaligned(device);
    }
    0
}

/// The device on which something is that this process has mapped, as stat(2) tells it (linux/kdev_t.h, `new_encode_dev`).
unsafe fn device_of_mapping(path: &[u8]) -> Option<u64> {
    let (directory, name) = path.split_at_checked(MAP_FILES.len())?;
    let (start, _) = maps::hexadecimal(name)?;
    let is_it = |mapping: &maps::Mapping<'_>| (mapping.start == start).then_some(mapping.device);
    let (major, minor) = directory.iter().eq(MAP_FILES).then(|| maps::find(maps::own(), is_it))??;
    Some(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

/// # Safety
/// As shmctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmctl(id: c_int, command: c_int, about: usize) -> c_int {
    let control = |command: c_int| [id as usize, command as usize, about, 0, 0, 0];
    unsafe { list_or_ask(nr::SHMCTL, control, command, SHM_STAT, about) }
}

/// # Safety
/// As semctl(2), the last of whose arguments may be missing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn semctl(id: c_int, number: c_int, command: c_int, about: usize) -> c_int {
    let control = |command: c_int| [id as usize, number as usize, command as usize, about, 0, 0];
    unsafe { list_or_ask(nr::SEMCTL, control, command, SEM_STAT, about) }
}

/// # Safety
/// As msgctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msgctl(id: c_int, command: c_int, about: usize) -> c_int {
    let control = |command: c_int| [id as usize, command as usize, about, 0, 0, 0];
    unsafe { list_or_ask(nr::MSGCTL, control, command, MSG_STAT, about) }
}

/// # Safety
/// As shmat(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmat(id: c_int, at: usize, flags: c_int) -> isize {
    unsafe { ask(nr::SHMAT, [id as usize, at, flags as usize, 0, 0, 0]) }
}

/// # Safety
/// As msgrcv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msgrcv(id: c_int, into: usize, bytes: usize, kind: isize, flags: c_int) -> isize {
    unsafe { ask(nr::MSGRCV, [id as usize, into, bytes, kind as usize, flags as usize, 0]) }
}

unsafe fn list_or_ask(
    call: usize,
    arguments: impl Fn(c_int) -> [usize; 6],
    command: c_int,
    (stat, any): (c_int, c_int),
    about: usize,
) -> c_int {
    if command != stat {
        return unsafe { ask(call, arguments(command)) } as c_int;
    }
    let result = unsafe { kernel::call(call, arguments(any)) };
    if result >= 0 {
        let owner = unsafe { (about as *const u8).add(OWNER_AT).cast::<u32>().read_unaligned() };
        unsafe { OWNER = owner as usize };
    }
    told(result) as c_int
}

/// Makes a system call, as the owner if it is refused to us.
unsafe fn ask(call: usize, arguments: [usize; 6]) -> isize {
    let own = unsafe { kernel::call(nr::GETEUID, [0; 6]) } as usize;
    let result = unsafe { kernel::call(call, arguments) };
    if result != EACCES || unsafe { become_user(OWNER) } < 0 {
        return told(result);
    }
    let result = unsafe { kernel::call(call, arguments) };
    unsafe { become_user(own) };
    told(result)
}

unsafe fn become_user(user: usize) -> isize {
    unsafe { kernel::call(nr::SETRESUID, [UNCHANGED, user, UNCHANGED, 0, 0, 0]) }
}
