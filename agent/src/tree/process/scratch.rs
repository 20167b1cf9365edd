//! A place for a copy of a tree beside the one that runs: PID, mount, network and IPC namespaces of its own, in a user namespace below the
//! container's. The copy sees the container's files and can change none of them, has no network but a loopback of its own, and no
//! process but its own that it could signal. All of it is gone when its first process ends (pid_namespaces(7)).
//!
//! Every mount is read-only, and what the copy has open for writing, or makes names in, is a copy in memory. An overlay would copy as
//! much, is not there on every kernel, and refuses some volumes as its lower layer.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, Uid, geteuid, pipe};
use thiserror::Error;

use super::capabilities::{Capability, has};
use super::{own_network, rights};
use crate::base::limits;

/// Why there is no such place here, and what to do about it.
#[derive(Debug, Error)]
pub enum NoScratch {
    /// The kernel makes none, or not for us.
    #[error(
        "this container may make no namespaces ({0}); {remedy}",
        remedy = where_to_try(geteuid())
    )]
    Namespaces(io::Error),
    /// A container's /proc has parts that are hidden, and the kernel shows nobody a whole one who sees none.
    #[error(
        "this container may not mount a /proc for a copy ({0}), since parts of its own are hidden; {remedy}",
        remedy = where_to_try(geteuid())
    )]
    Proc(io::Error),
    /// Anything else.
    #[error("a place for a copy cannot be made: {what}: {source}")]
    Step {
        /// What failed.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn step<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> NoScratch {
    move |source| NoScratch::Step { what, source: source.into() }
}

/// Crik's file gives an ordinary user the rights that checkpoints take, and SYS_ADMIN is none of them.
fn where_to_try(user: Uid) -> &'static str {
    if user.is_root() {
        "try it in a second pod (crik doctor --trial --manifest), or in one with hostUsers: false and the capability SYS_ADMIN, which is then confined to the pod"
    } else {
        "try it in a second pod (crik doctor --trial --manifest), or in one that runs as root (runAsUser: 0), with hostUsers: false and the capability SYS_ADMIN, which is then confined to the pod"
    }
}

/// Whether one can be made here, as far as that can be told without making it.
#[must_use]
pub fn is_likely() -> bool {
    geteuid().is_root() && has(Capability::SysAdmin)
}

/// Runs this program, with these arguments, as the first process of such namespaces, and waits for it. Returns its exit code. To be
/// called by a process with a single thread.
///
/// # Errors
/// They cannot be made.
pub fn run(arguments: &[&std::ffi::OsStr]) -> Result<i32, NoScratch> {
    uncover_proc();
    let (told, tell) = pipe().map_err(step("a pipe"))?;
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC;
    // SAFETY: without a stack of its own it is a fork(2), and this process has a single thread.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags.bits() | libc::SIGCHLD, 0, 0, 0, 0) };
    match child {
        0 => {
            drop(tell);
            let error = become_first(told, arguments);
            eprintln!("{error}");
            std::process::exit(crate::base::exit_codes::FAILURE)
        }
        child if child < 0 => Err(NoScratch::Namespaces(io::Error::last_os_error())),
        child => {
            drop(told);
            let child = Pid::from_raw(child as i32);
            map_ids(child).map_err(step("to map the users' ids"))?;
            File::from(tell).write_all(b"!").map_err(step("a pipe"))?;
            match waitpid(child, None).map_err(step("to wait"))? {
                WaitStatus::Exited(_, code) => Ok(code),
                _ => Ok(crate::base::exit_codes::FAILURE),
            }
        }
    }
}

/// Whoever may takes away what hides parts of /proc, in a mount namespace of its own, so that the kernel lets the copy have one.
fn uncover_proc() {
    if !has(Capability::SysAdmin) || unshare(CloneFlags::CLONE_NEWNS).is_err() {
        return;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    if mount(None::<&str>, "/", None::<&str>, private, None::<&str>).is_err() {
        return;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|point| point.starts_with("/proc/")).collect::<Vec<_>>().into_iter().rev() {
        let _ = umount2(point, MntFlags::MNT_DETACH);
    }
}

/// Each id is itself, as far as this process may map any but its own (user_namespaces(7)).
fn map_ids(child: Pid) -> io::Result<()> {
    let write = |file: &str, text: &str| fs::write(format!("/proc/{child}/{file}"), text);
    for (file, own) in [("uid_map", geteuid().as_raw()), ("gid_map", nix::unistd::getegid().as_raw())] {
        let map = fs::read_to_string(format!("/proc/self/{file}"))?;
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Some(format!("{0} {0} {1}\n", words.first()?, words.get(2)?))
        };
        let all: String = map.lines().filter_map(line).collect();
        if write(file, &all).is_err() {
            if file == "gid_map" {
                write("setgroups", "deny")?;
            }
            write(file, &format!("{own} {own} 1"))?;
        }
    }
    Ok(())
}

fn become_first(told: OwnedFd, arguments: &[&std::ffi::OsStr]) -> io::Error {
    let prepared = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(io::Error::from)
        .and_then(|()| File::from(told).read_exact(&mut [0]))
        // What is not root's loses its rights by an exec.
        .and_then(|()| rights::hand_on());
    match prepared {
        Ok(()) => Command::new("/proc/self/exe").args(arguments).exec(),
        Err(error) => error,
    }
}

/// What the copy gets of its own.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Directories in which it makes names; what is in them is copied.
    pub directories: Vec<PathBuf>,
    /// Files that it has open for writing, with the size that they are to have.
    pub files: Vec<(PathBuf, Option<u64>)>,
    /// The pod's addresses, to which its sockets may be bound.
    pub addresses: Vec<IpAddr>,
}

/// Makes what this process sees such a place. To be called by the first process of the namespaces.
///
/// # Errors
/// [`NoScratch`].
pub fn furnish(wanted: &Wanted) -> Result<(), NoScratch> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(step("to keep mounts to itself"))?;
    read_only_root().map_err(step("to make everything read-only"))?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)
        .map_err(|error| NoScratch::Proc(error.into()))?;
    for part in limits::READ_ONLY_OF_PROC {
        let path = Path::new("/proc").join(part);
        if path.exists() {
            cover(&path, &path).map_err(step("to make parts of /proc read-only"))?;
        }
    }
    own_devices();
    let mut left = limits::TRIAL_COPIES_BYTES;
    copies(wanted, &mut left).map_err(step("to copy what the program writes to"))?;
    own_network::bring_up(&wanted.addresses).map_err(step("a loopback"))
}

/// Takes a read-only copy of all that is mounted as the root, and gives up the other.
fn read_only_root() -> io::Result<()> {
    let tree = read_only_clone(Path::new("/"))?;
    attach(&tree, Path::new("/"))?;
    nix::unistd::fchdir(&tree)?;
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    Ok(nix::unistd::chdir("/")?)
}

fn cover(from: &Path, at: &Path) -> io::Result<()> {
    attach(&read_only_clone(from)?, at)
}

/// What is mounted at `path` and below, nowhere yet (open_tree(2)).
fn read_only_clone(path: &Path) -> io::Result<OwnedFd> {
    let tree = clone_tree(path)?;
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: mount_setattr(2) reads the attributes, whose size it is told.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(tree) }
}

fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE.cast_unsigned();
    // SAFETY: open_tree(2) reads the path, and its answer is a descriptor that is nobody else's.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn attach(tree: &OwnedFd, at: &Path) -> io::Result<()> {
    let at = CString::new(at.as_os_str().as_encoded_bytes())?;
    // SAFETY: move_mount(2) reads two paths.
    let moved = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            at.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    if moved < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Terminals and message queues with numbers and names of their own, where the container has any.
fn own_devices() {
    let options = Some("newinstance,ptmxmode=0666,mode=0620");
    let _ = mount(Some("devpts"), "/dev/pts", Some("devpts"), MsFlags::empty(), options);
    let _ = mount(Some("mqueue"), "/dev/mqueue", Some("mqueue"), MsFlags::empty(), None::<&str>);
}

fn copies(wanted: &Wanted, left: &mut u64) -> io::Result<()> {
    let mut directories: Vec<&PathBuf> = wanted.directories.iter().filter(|path| path.is_dir()).collect();
    directories.sort();
    directories.dedup();
    let outer: Vec<&PathBuf> = directories
        .iter()
        .filter(|path| !directories.iter().any(|other| *other != **path && path.starts_with(other)))
        .copied()
        .collect();
    for directory in &outer {
        in_memory(directory, left).map_err(|error| named(directory, &error))?;
    }
    for (file, size) in &wanted.files {
        let is_there = outer.iter().any(|directory| file.starts_with(directory));
        if file.is_file() {
            own_file(file, *size, is_there, left).map_err(|error| named(file, &error))?;
        }
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Puts a file system in memory over a directory, with the same in it.
fn in_memory(directory: &Path, left: &mut u64) -> io::Result<()> {
    let before = File::open(directory)?;
    let meta = before.metadata()?;
    let options = format!("mode={:o},size={}", meta.mode() & 0o7777, limits::TRIAL_COPIES_BYTES);
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
    let _ = chown(directory, Some(meta.uid()), Some(meta.gid()));
    let from = PathBuf::from(format!("/proc/self/fd/{}", before.as_raw_fd()));
    copy_directory(&from, directory, meta.dev(), left)
}

fn copy_directory(from: &Path, to: &Path, device: u64, left: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (from, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        let Ok(meta) = from.symlink_metadata() else { continue };
        let kind = meta.file_type();
        if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&to)?;
            if meta.dev() == device {
                copy_directory(&from, &to, device, left)?;
            } else {
                attach(&clone_tree(&from)?, &to)?;
                continue;
            }
        } else if kind.is_file() {
            copy_file(&from, &to, left)?;
        } else if kind.is_fifo() {
            nix::unistd::mkfifo(&to, nix::sys::stat::Mode::from_bits_truncate(meta.mode()))?;
        } else {
            // A socket is made anew by who is bound to it.
            continue;
        }
        let _ = chown(&to, Some(meta.uid()), Some(meta.gid()));
        fs::set_permissions(&to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    Ok(())
}

/// Copies what a file has, if no more than is `left`.
///
/// # Errors
/// It is more, or cannot be read or written.
pub fn copy_file(from: &Path, to: &Path, left: &mut u64) -> io::Result<()> {
    let (source, mut target) = (File::open(from)?, File::create(to)?);
    let size = source.metadata()?.len();
    *left = left.checked_sub(size).ok_or_else(|| {
        io::Error::other(format!(
            "with it there would be more than {} to copy for a trial",
            crate::base::units::bytes(limits::TRIAL_COPIES_BYTES)
        ))
    })?;
    io::copy(&mut source.take(size), &mut target).map(drop)
}

/// Puts a copy in memory over a file, unless its whole directory is one, and gives it the size.
fn own_file(file: &Path, size: Option<u64>, is_there: bool, left: &mut u64) -> io::Result<()> {
    if !is_there {
        let meta = file.metadata()?;
        let place = Path::new("/dev/shm").join(format!("crik-trial-{}-{}", meta.dev(), meta.ino()));
        copy_file(file, &place, left)?;
        chown(&place, Some(meta.uid()), Some(meta.gid()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        attach(&clone_tree(&place)?, file)?;
    }
    match size {
        Some(size) => OpenOptions::new().write(true).open(file)?.set_len(size),
        None => Ok(()),
    }
}
