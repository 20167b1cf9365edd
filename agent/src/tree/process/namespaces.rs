//! What namespaces of every kind have in common (namespaces(7)).

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

/// Whether two processes are in different namespaces of a kind, as /proc calls it; `self` is one too. One that cannot be looked at is in
/// no other, as on a kernel without them.
pub(super) fn differ(one: &str, other: &str, kind: &str) -> bool {
    let of = |whose: &str| -> Option<PathBuf> { fs::read_link(format!("/proc/{whose}/ns/{kind}")).ok() };
    of(one).is_some_and(|namespace| of(other) != Some(namespace))
}

/// Moves this thread into the namespace that is at this path, which is of this kind (`CLONE_NEW…`).
pub(super) fn enter(path: &str, kind: libc::c_int) -> io::Result<()> {
    let namespace = File::open(path)?;
    // SAFETY: setns(2) takes a descriptor, which is open, and a number.
    nix::errno::Errno::result(unsafe { libc::setns(namespace.as_raw_fd(), kind) })?;
    Ok(())
}
