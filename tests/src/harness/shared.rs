//! What several tests of a suite begin with, made once and removed with the last of them: what a static holds is never dropped.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::Result;

/// Something that lives as long as a test holds it.
pub struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    /// What there is, or what `make` gives.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = known.upgrade() {
            return Ok(made);
        }
        let made = Arc::new(make()?);
        *known = Arc::downgrade(&made);
        Ok(made)
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}
