//! Chance, so that those who do the same do not do it at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Any number. The standard library seeds its maps at random, which is random enough to spread load.
pub fn number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// Between nothing and `most`.
pub fn up_to(most: Duration) -> Duration {
    most.mul_f64(number() as f64 / u64::MAX as f64)
}

/// One of these, each as often as the others.
pub fn one_of(numbers: RangeInclusive<u32>) -> u32 {
    let (first, last) = numbers.into_inner();
    let among = u64::from(last.saturating_sub(first)) + 1;
    first + u32::try_from(number() % among).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_comes_about_as_often_as_the_others() {
        let mut drawn = [0_u32; 6];
        for _ in 0..4_000 {
            drawn[one_of(1..=4) as usize] += 1;
        }
        // Binomial, with a deviation of 27: ten of them are never left by chance.
        assert!(drawn[1..=4].iter().all(|times| times.abs_diff(1_000) < 270), "{drawn:?}");
        assert_eq!((drawn[0], drawn[5]), (0, 0));
        assert_eq!(one_of(7..=7), 7);
    }
}
