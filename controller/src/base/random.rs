//! Chance, so that those who do the same do not do it at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Any number. The standard library seeds its maps at random, which is random enough to spread load.
pub fn number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Between nothing and `most`.
pub fn up_to(most: Duration) -> Duration {
    most.mul_f64(number() as f64 / u64::MAX as f64)
}
