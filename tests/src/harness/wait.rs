//! Waits for conditions, never for time.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::interrupt;
use crate::nfs::INSIDE;

/// How long anything may take before a test gives up: far more than anything needs, so that a busy machine fails no
/// test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How many times slower a test may be in a machine that is emulated.
const EMULATED: u32 = 3;

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `condition` gives a value.
///
/// # Errors
/// It does not within [`PATIENCE`], or some times that in an emulated machine; or this program is to end. The message says for what.
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> Result<T> {
    wait(what, condition, interrupt::came)
}

/// Likewise where something is removed, which is done to its end.
///
/// # Errors
/// As of [`wait_for`], but for the last.
pub(crate) fn wait_to_clean_up<T>(what: &str, condition: impl FnMut() -> Option<T>) -> Result<T> {
    wait(what, condition, || false)
}

fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>, interrupted: fn() -> bool) -> Result<T> {
    let patience = if env::var_os(INSIDE).is_some() { PATIENCE * EMULATED } else { PATIENCE };
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if interrupted() {
            bail!("interrupted while it waited for {what}");
        }
        if Instant::now() > deadline {
            bail!("waited {patience:?} in vain for {what}");
        }
        thread::sleep(PAUSE);
    }
}
