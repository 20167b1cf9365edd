//! How many pods take a checkpoint for an eviction at a time, and for how long an eviction waits.

use std::time::Duration;

use clap::Args;

use crate::base::limits;

/// How evictions of pods under crik are held up.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// How long an eviction waits for its pod's checkpoint, from 1s to 1h; a pod may say another time by crik.dev/eviction-deadline.
    #[arg(long, value_name = "DURATION", default_value = "5m", env = "CRIK_EVICTION_DEADLINE", value_parser = deadline)]
    pub eviction_deadline: Duration,
    /// How many pods of one node take a checkpoint for an eviction at the same time; others wait for them.
    #[arg(long, value_name = "N", default_value_t = limits::MOVES_PER_NODE, env = "CRIK_MOVES_PER_NODE",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub moves_per_node: u32,
    /// How many pods of all nodes.
    #[arg(long, value_name = "N", default_value_t = limits::MOVES_PER_CLUSTER, env = "CRIK_MOVES_PER_CLUSTER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub moves_per_cluster: u32,
}

/// # Errors
/// It is no duration, or out of bounds.
fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (limits::EVICTION_DEADLINE_MIN..=limits::EVICTION_DEADLINE_MAX).contains(&deadline) {
        Ok(deadline)
    } else {
        Err("must be from 1s to 1h".to_owned())
    }
}
