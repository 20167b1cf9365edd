//! Buffers that are used again: of new memory the kernel clears each page first, which takes as long as to fill it.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use crate::base::panics::locked;

/// Buffers of one size. There are as many as were lent at the same time.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// Without any.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { size, spare: Mutex::default() })
    }

    /// One with whatever it held last.
    pub fn lend(self: &Arc<Self>) -> Lent {
        let bytes = locked(&self.spare).pop().unwrap_or_else(|| vec![0; self.size]);
        Lent { bytes, pool: Arc::clone(self) }
    }
}

/// One that is in use, and goes back when it is no more.
#[derive(Debug)]
pub struct Lent {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Deref for Lent {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        locked(&self.pool.spare).push(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_are_used_at_a_time() {
        let pool = Pool::new(10);
        let (mut one, other) = (pool.lend(), pool.lend());
        one.fill(7);
        drop(one);
        assert_eq!(**pool.lend(), [7; 10]);
        let three = [pool.lend(), pool.lend(), other];
        drop(three);
        assert_eq!(locked(&pool.spare).len(), 3);
    }
}
