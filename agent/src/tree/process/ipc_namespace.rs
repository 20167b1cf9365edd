//! IPC namespaces (ipc_namespaces(7)): what some processes have of System V, set apart from the pod's. CRIU can dump that only with its
//! namespace, and make it again only in a new one.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::thread;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::capabilities::{Capability, has};
use super::namespaces;

/// What can be set of a namespace, as a pod does by `securityContext.sysctls`: a new one begins with what the kernel thinks best.
const SETTINGS: [&str; 13] = [
    "kernel/shmmax",
    "kernel/shmall",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
    "kernel/msgmax",
    "kernel/msgmni",
    "kernel/msgmnb",
    "kernel/sem",
    "fs/mqueue/queues_max",
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_max",
    "fs/mqueue/msg_default",
    "fs/mqueue/msgsize_default",
];

/// Whether this process may make one, and CRIU give what is in it its ids and limits back: tried, by a thread that ends with it, since a
/// capability alone does not tell.
#[must_use]
pub fn is_possible() -> bool {
    has(Capability::SysAdmin) && in_new(|| ()).is_ok()
}

/// Whether a process is in another one than this process.
#[must_use]
pub fn is_elsewhere(pid: i32) -> bool {
    namespaces::differ(&pid.to_string(), "self", "ipc")
}

/// Makes one, and moves this thread into it.
///
/// # Errors
/// It may not, or what can be set of one cannot be set.
pub fn enter_new() -> io::Result<()> {
    let before = SETTINGS.map(read);
    let proc = writable_proc()?;
    // SAFETY: unshare(2) takes a number.
    nix::errno::Errno::result(unsafe { libc::unshare(libc::CLONE_NEWIPC) })?;
    SETTINGS.into_iter().zip(before).try_for_each(|(name, value)| set(&proc, name, value.as_deref()))
}

/// Moves this thread into that of another process.
///
/// # Errors
/// The process has ended, or this one may not.
pub fn enter_that_of(pid: i32) -> io::Result<()> {
    namespaces::enter(&format!("/proc/{pid}/ns/ipc"), libc::CLONE_NEWIPC)
}

/// Does something in a new one, by a thread. A process that it starts stays there.
///
/// # Errors
/// As [`enter_new`].
pub fn in_new<T: Send>(what: impl FnOnce() -> T + Send) -> io::Result<T> {
    by_thread(|| enter_new().map(|()| what()))
}

/// Does something in that of another process, by a thread.
///
/// # Errors
/// As [`enter_that_of`].
pub fn in_that_of<T: Send>(pid: i32, what: impl FnOnce() -> T + Send) -> io::Result<T> {
    by_thread(|| enter_that_of(pid).map(|()| what()))
}

fn by_thread<T: Send>(what: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| scope.spawn(what).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()
}

/// A copy of /proc as it was mounted: in a container its `sys` is covered by one that is read-only.
fn writable_proc() -> io::Result<OwnedFd> {
    let path = CString::from(c"/proc");
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: open_tree(2) reads the path, and its answer is a descriptor that is nobody else's.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sets it, if it is another one. It is opened in any case, since CRIU sets all of them. What the kernel does not have is none.
fn set(proc: &OwnedFd, name: &str, value: Option<&str>) -> io::Result<()> {
    let Some(value) = value else { return Ok(()) };
    let path = format!("sys/{name}");
    let mut file = File::from(openat(proc, path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?);
    let mut now = String::new();
    file.read_to_string(&mut now)?;
    // From the beginning: what is written elsewhere the kernel passes over (sysctl.kernel(5), `sysctl_writes_strict`).
    if now == value { Ok(()) } else { file.write_all_at(value.as_bytes(), 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shared memory that nobody else has.
    fn make_memory() -> i32 {
        // SAFETY: shmget(2) takes numbers.
        unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) }
    }

    #[test]
    fn what_is_made_in_a_new_one_is_nowhere_else_and_ends_with_it() {
        let list = || fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let before = list();
        let inside = in_new(|| {
            assert!(make_memory() >= 0);
            list()
        });
        assert_eq!(inside.unwrap().lines().count(), 2);
        assert_eq!(list(), before);
    }
}
