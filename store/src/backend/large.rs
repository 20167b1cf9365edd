//! Files that are too large to be held in memory: written piece by piece, and read at any place.

use std::io;

/// A file that is written.
pub trait Sink: Send {
    /// Writes more of it.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes it durable. One that is dropped before that is none.
    ///
    /// # Errors
    /// It is not.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A file that is read.
pub trait Source: Send + Sync {
    /// How many bytes it has.
    ///
    /// # Errors
    /// It cannot be asked.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `bytes` with what is at `offset`.
    ///
    /// # Errors
    /// There is less, or it cannot be read.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}
