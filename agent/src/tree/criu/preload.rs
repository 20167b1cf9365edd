//! The library that CRIU is preloaded with for a dump, so that it learns the limits of other users' processes without
//! SYS_RESOURCE, and the names of files that NFS has renamed without DAC_READ_SEARCH, takes connections that lead out of the tree
//! for such as are over, and writes where it may.
//!
//! It stands in a memory file, since nothing on disk may be writable, and is named in the environment of CRIU alone: what CRIU
//! restores is never near it. For a restore there is a library of its own: what CRIU restores dies with it, should it be killed, and
//! connections that it puts together are not reset meanwhile.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

/// Where ld.so(8) finds what a program is preloaded with.
pub(super) const VARIABLE: &str = "LD_PRELOAD";

/// Where the library is while CRIU runs, beside its configuration.
pub(super) const LIBRARY_FD: RawFd = 196;

/// Where the library reads which connections lead out of the tree (`preload/cut_off.rs`), or notes what CRIU has let go
/// (`preload/dies_with_criu.rs`).
pub(super) const NOTES_FD: RawFd = 195;

/// That for a dump, built from `preload/criu.rs`.
pub(super) const DUMP_LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/criu.so"));

/// That for a restore, built from `preload/criu_restore.rs`.
pub(super) const RESTORE_LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/criu_restore.so"));

/// Its path, in a program that was handed it down, also for what that starts without its descriptors.
pub(super) fn handed_down() -> Option<String> {
    Some(format!("/proc/{}/fd/{LIBRARY_FD}", std::process::id())).filter(|path| Path::new(path).exists())
}

/// Tells the CRIU that is called for a dump, and pauses before it looks at sockets, that the connections of the sockets with these inodes are
/// over. They are not.
///
/// # Errors
/// None is called, or there is no memory.
pub fn cut_off(inodes: impl Iterator<Item = u32>) -> io::Result<()> {
    let list: Vec<u8> = inodes.flat_map(u32::to_ne_bytes).collect();
    notes()?.write_all(&list)
}

/// What the library reads, or writes, as long as a call lasts.
///
/// # Errors
/// There are no descriptors left.
pub(super) fn notes() -> io::Result<File> {
    // SAFETY: the descriptor is reserved for this from the start of the program to its end.
    Ok(unsafe { BorrowedFd::borrow_raw(NOTES_FD) }.try_clone_to_owned()?.into())
}
