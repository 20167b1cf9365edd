//! How many bytes of texts there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes that are there.
pub struct Counted {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Counted {
    /// From now on.
    pub fn new(held: Arc<AtomicUsize>, bytes: usize) -> Self {
        held.fetch_add(bytes, Ordering::Relaxed);
        Self { held, bytes }
    }

    /// So many more, of the same.
    pub fn more(&self, bytes: usize) -> Self {
        Self::new(Arc::clone(&self.held), bytes)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
