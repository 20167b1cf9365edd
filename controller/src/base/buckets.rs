//! How often one of many may do something, such as ask: a few times at once, and then some a second, as a bucket of tokens is filled
//! and emptied.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The buckets of all, such as those of all addresses.
pub struct Buckets<Of> {
    size: f64,
    per_second: f64,
    /// Those that are not full, each with what was left in it and when.
    used: Mutex<HashMap<Of, (f64, Instant)>>,
}

impl<Of: Eq + Hash> Buckets<Of> {
    /// All full, with so many in each, which come back so many a second.
    pub fn new(size: u32, per_second: u32) -> Self {
        Self { size: size.into(), per_second: per_second.into(), used: Mutex::default() }
    }

    /// Takes one from the bucket of this one, if one is left.
    pub fn take(&self, of: Of, now: Instant) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are full again need not be kept, which is looked at when there is a new one, now and then.
        if used.len().is_power_of_two() && !used.contains_key(&of) {
            used.retain(|_, (left, since)| {
                *left + self.back(now.saturating_duration_since(*since)) < self.size
            });
        }
        let (left, since) = used.entry(of).or_insert((self.size, now));
        *left = (*left + self.back(now.saturating_duration_since(*since))).min(self.size);
        *since = now;
        let may = *left >= 1.0;
        if may {
            *left -= 1.0;
        }
        may
    }

    fn back(&self, time: Duration) -> f64 {
        time.as_secs_f64() * self.per_second
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn an_address_may_ask_a_few_times_at_once_and_then_so_often_a_second() {
        let (buckets, now) = (Buckets::new(5, 2), Instant::now());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert_eq!((0..9).filter(|_| buckets.take(one, now)).count(), 5);
        assert!(buckets.take(other, now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..9).filter(|_| buckets.take(one, later)).count(), 2);
        let much_later = now + Duration::from_secs(60);
        assert_eq!((0..9).filter(|_| buckets.take(one, much_later)).count(), 5);
    }

    #[test]
    fn buckets_that_are_full_again_are_not_kept() {
        let (buckets, now) = (Buckets::new(5, 5), Instant::now());
        for number in 0..1000_u32 {
            let later = now + Duration::from_secs(number.into());
            assert!(buckets.take(IpAddr::from(number.to_be_bytes()), later));
        }
        assert!(buckets.used.lock().unwrap().len() < 10);
    }
}
