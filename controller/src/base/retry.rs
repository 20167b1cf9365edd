//! When the API server is asked again.

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use super::limits;

/// Each pause is twice the last, and up to as much again by chance, so that replicas do not come back together.
pub fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(limits::API_RETRY_MIN);
    pauses.with_max_delay(limits::API_RETRY_MAX).without_max_times().with_jitter().build()
}
