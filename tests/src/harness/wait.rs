//! Waits for conditions, never for time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take before a test gives up: far more than anything needs, so that a busy machine fails no
/// test.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` gives a value.
///
/// # Errors
/// It does not within [`PATIENCE`]; the message says for what.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        thread::sleep(PAUSE);
    }
}
