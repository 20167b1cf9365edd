//! What the benches measure with.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::pod::Running;

/// The most that a container can weigh for processor time, so that what else runs on the machine takes little of what is measured.
pub const CPU_SHARES: u64 = 262_144;

/// How many processes have wanted to run in the last minute, on average.
///
/// # Errors
/// It cannot be read.
pub fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split_whitespace().next().unwrap_or_default().to_owned())
}

/// From the runtime's call to the first step.
///
/// # Errors
/// There was none.
pub fn first_step(running: &Running) -> Result<f64> {
    let first = running.stdout.first_at().context("nothing was written")?;
    Ok(milliseconds(first.duration_since(running.started)))
}

/// A number of /proc/PID/status of the container's first process.
///
/// # Errors
/// It has ended, or there is no such number.
pub fn status(running: &Running, field: &str) -> Result<u64> {
    number(&fs::read_to_string(format!("/proc/{}/status", agent(running)?))?, field)
}

/// The id of the container's first process on this machine.
///
/// # Errors
/// It has ended.
pub fn agent(running: &Running) -> Result<i32> {
    let agent = running.processes().into_iter().find(|process| process.pid == 1);
    Ok(agent.with_context(|| format!("no agent\n{}", running.transcript()))?.host_pid)
}

/// The number behind a name at the beginning of a line.
///
/// # Errors
/// There is none.
pub fn number(text: &str, field: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    Ok(line.split_whitespace().next().context("no number")?.parse()?)
}

/// As a number for a table.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The one in the middle; of none 0.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
