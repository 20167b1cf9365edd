//! Turns of each address, or of each of something else: a few at a time, and the others of the same one wait for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of all.
pub struct Turns<Whose> {
    each: usize,
    /// Those that somebody has or waits for.
    taken: Mutex<HashMap<Whose, Weak<Semaphore>>>,
}

/// A turn, over when this is dropped.
pub type Turn = OwnedSemaphorePermit;

impl<Whose: Eq + Hash> Turns<Whose> {
    /// So many at a time for each.
    pub fn new(each: usize) -> Self {
        Self { each, taken: Mutex::default() }
    }

    /// The next turn of this one. None only if there are no more for anybody.
    pub async fn next(&self, whose: Whose) -> Option<Turn> {
        self.of(whose).acquire_owned().await.ok()
    }

    fn of(&self, whose: Whose) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = taken.get(&whose).and_then(Weak::upgrade) {
            return turns;
        }
        // Those that nobody has need not be kept, which is looked at now and then.
        if taken.len().is_power_of_two() {
            taken.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(self.each));
        taken.insert(whose, Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[tokio::test]
    async fn an_address_waits_for_its_own_turns_and_for_no_others() {
        let turns = Turns::new(2);
        let mine = [turns.next(address(1)).await.unwrap(), turns.next(address(1)).await.unwrap()];
        assert!(turns.next(address(1)).now_or_never().is_none());
        assert!(turns.next(address(2)).now_or_never().is_some());
        drop(mine);
        assert!(turns.next(address(1)).now_or_never().is_some());
    }

    #[tokio::test]
    async fn addresses_that_have_none_are_not_kept() {
        let turns = Turns::new(1);
        for last in 0..200 {
            drop(turns.next(address(last)).await);
        }
        assert!(turns.taken.lock().unwrap().len() < 10);
    }
}
