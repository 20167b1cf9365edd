//! Whether a checkpoint is being written that may refer to packs which no generation needs.

use std::sync::Mutex;

use crate::base::panics::locked;

/// How many are.
#[derive(Debug, Default)]
pub struct PackUse(Mutex<usize>);

impl PackUse {
    /// One more is.
    pub fn begin(&self) {
        *locked(&self.0) += 1;
    }

    /// One is no more.
    pub fn end(&self) {
        *locked(&self.0) -= 1;
    }

    /// Does something while none is, nor begins; nothing if one is.
    ///
    /// # Errors
    /// Its own.
    pub fn unless_used<E>(&self, what: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let writers = locked(&self.0);
        if *writers > 0 { Ok(()) } else { what() }
    }
}
