//! The library that CRIU is preloaded with for a dump, so that it learns the limits of other users' processes without
//! SYS_RESOURCE, and the names of files that NFS has renamed without DAC_READ_SEARCH.
//!
//! It stands in a memory file, since nothing on disk may be writable, and is named in the environment of CRIU alone: what CRIU
//! restores is never near it, and a restore does not need it.

use std::os::fd::RawFd;
use std::path::Path;

/// Where ld.so(8) finds what a program is preloaded with.
pub(super) const VARIABLE: &str = "LD_PRELOAD";

/// Where the library is while CRIU runs, beside its configuration.
pub(super) const LIBRARY_FD: RawFd = 196;

/// The library, built from `preload/criu.rs`.
pub(super) const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/criu.so"));

/// Its path, in a program that was handed it down.
pub(super) fn handed_down() -> Option<String> {
    Some(format!("/proc/self/fd/{LIBRARY_FD}")).filter(|path| Path::new(path).exists())
}
