//! What this process may do.

use std::fs;

/// A capability, by its bit in capabilities(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Reads other processes' memory and registers.
    SysPtrace = 19,
    /// Nearly everything.
    SysAdmin = 21,
    /// Sets clocks, those of time namespaces too.
    SysTime = 25,
    /// Gives processes their ids back.
    CheckpointRestore = 40,
}

/// True if this process has `capability`.
pub fn has(capability: Capability) -> bool {
    effective(&status()) & 1 << capability as u32 != 0
}

/// What the kernel tells of this process (proc(5), `/proc/self/status`).
pub fn status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// The value of a line of it.
pub fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

/// The effective capabilities that it tells, a bit each.
pub fn effective(status: &str) -> u64 {
    field(status, "CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0)
}
