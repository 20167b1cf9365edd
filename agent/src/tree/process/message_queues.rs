//! Message queues of POSIX that no process has open (mq_overview(7)): they belong to an IPC namespace, and the next pod's has none.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::ptr;

use nix::errno::Errno;

use super::ipc_namespace;
use super::snapshot::Tree;

/// Where runtimes mount the pod's.
const QUEUES: &str = "/dev/mqueue";

/// Of fsopen(2), fsconfig(2) and fsmount(2) (linux/mount.h).
const CLOSE_ON_EXEC: libc::c_uint = 1;
const CREATE: libc::c_uint = 6;

/// Those that are of a user of `tree` and that no process of it has open: in a namespace of its own by name, else by path. Which of the
/// pod's containers has made one nobody can tell.
#[must_use]
pub fn left_alone(tree: &Tree) -> Vec<PathBuf> {
    let queues = match tree.root().filter(|root| ipc_namespace::is_elsewhere(*root)) {
        Some(root) => ipc_namespace::in_that_of(root, all_here).flatten().unwrap_or_default(),
        None => all_in(Path::new(QUEUES), QUEUES),
    };
    if queues.is_empty() {
        return Vec::new();
    }
    let users: BTreeSet<u32> = tree.0.iter().filter_map(|process| user(process.pid)).collect();
    let open: BTreeSet<u64> =
        tree.0.iter().flat_map(|process| open_queues(process.pid, queues[0].1.dev())).collect();
    let is_alone = |meta: &Metadata| users.contains(&meta.uid()) && !open.contains(&meta.ino());
    queues.into_iter().filter(|(_, meta)| is_alone(meta)).map(|(path, _)| path).collect()
}

/// All of the namespace that this thread is in, which may be mounted nowhere.
fn all_here() -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mounted = mount()?;
    Ok(all_in(Path::new(&format!("/proc/self/fd/{}", mounted.as_raw_fd())), "/"))
}

fn all_in(directory: &Path, told_as: &str) -> Vec<(PathBuf, Metadata)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let told = |name| Path::new(told_as).join(name);
    entries.filter_map(|entry| Some((told(entry.file_name()), entry.metadata().ok()?))).collect()
}

/// Their file system, where nobody else sees it.
fn mount() -> io::Result<OwnedFd> {
    // SAFETY: it reads the name.
    let context = open(unsafe { libc::syscall(libc::SYS_fsopen, c"mqueue".as_ptr(), CLOSE_ON_EXEC) })?;
    let none = ptr::null::<libc::c_char>();
    // SAFETY: this takes neither a key nor a value.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, none, none, 0) };
    Errno::result(made)?;
    // SAFETY: numbers.
    open(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOSE_ON_EXEC, 0) })
}

/// What a system call has answered that opens something.
fn open(answer: libc::c_long) -> io::Result<OwnedFd> {
    // SAFETY: it is a new descriptor, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(Errno::result(answer)? as i32) })
}

fn user(pid: i32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|meta| meta.uid())
}

/// The inodes of what a process has open on this device.
fn open_queues(pid: i32, device: u64) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let open = entries.filter_map(|entry| fs::metadata(entry.path()).ok());
    open.filter(move |meta| meta.dev() == device).map(|meta| meta.ino())
}
