//! The kernel's unit of memory: 4 KiB on x86-64; on arm64 what its kernel was built with, 4, 16 or 64 KiB.

use nix::unistd::{SysconfVar, sysconf};

use super::limits::PAGE_BYTES;

/// How many bytes a page of this machine's kernel has.
#[must_use]
pub fn page_bytes() -> u64 {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().map_or(PAGE_BYTES as u64, i64::unsigned_abs)
}
