//! What a process uses (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Resident memory in bytes, now.
///
/// # Errors
/// The process has ended.
pub fn resident(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The most resident memory in bytes that it ever had.
///
/// # Errors
/// The process has ended.
pub fn peak(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    let kib: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kib << 10)
}

/// The processor time that it has used, of all its threads.
///
/// # Errors
/// The process has ended.
pub fn processor(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may have spaces; behind it come the state and, as 14th and 15th fields of all, user and system time.
    let (_, rest) = text.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(11).context("no time")?.parse::<u64>()?
        + fields.get(12).context("no time")?.parse::<u64>()?;
    // Linux counts these in hundredths on every architecture that crik runs on (USER_HZ).
    Ok(Duration::from_millis(ticks * 10))
}
