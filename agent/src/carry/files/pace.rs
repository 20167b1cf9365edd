//! Writes to the volume in pieces that it takes in a moment.
//!
//! A write that is under way cannot be taken back, and a process cannot end before it is over: who wrote much at once to a volume
//! that has become slow would outlive the grace period.

use std::io::{self, Read, Write};
use std::time::Instant;

use crate::base::limits;

/// How much is written at once: twice as much after each piece that was taken at once, and half as much after one that was not.
#[derive(Debug)]
pub struct Pace {
    piece: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { piece: limits::SMALLEST_PIECE_BYTES }
    }
}

impl Pace {
    /// Copies all that `from` has, unless it is `given_up`. Returns how many bytes that was.
    ///
    /// # Errors
    /// It cannot be read or written; `Interrupted` once it is given up.
    pub fn copy(
        &mut self,
        from: &mut impl Read,
        to: &mut dyn Write,
        given_up: &dyn Fn() -> bool,
    ) -> io::Result<u64> {
        let (mut copied, mut piece) = (0, Vec::new());
        loop {
            if given_up() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            piece.clear();
            let read = Read::by_ref(from).take(self.piece as u64).read_to_end(&mut piece)?;
            if read == 0 {
                return Ok(copied);
            }
            let began = Instant::now();
            to.write_all(&piece)?;
            self.learn(began.elapsed() < limits::PIECE_AT_ONCE);
            copied += read as u64;
        }
    }

    fn learn(&mut self, at_once: bool) {
        let piece = if at_once { self.piece * 2 } else { self.piece / 2 };
        self.piece = piece.clamp(limits::SMALLEST_PIECE_BYTES, limits::LARGEST_PIECE_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_copied_in_pieces_that_grow() {
        let (from, mut to) = (vec![7; 3 << 20], Vec::new());
        let mut pace = Pace::default();
        assert_eq!(pace.copy(&mut &*from, &mut to, &|| false).unwrap(), from.len() as u64);
        assert_eq!(to, from);
        assert!(pace.piece > limits::SMALLEST_PIECE_BYTES);
    }

    #[test]
    fn nothing_is_written_once_it_is_given_up() {
        let mut to = Vec::new();
        assert!(Pace::default().copy(&mut &b"x"[..], &mut to, &|| true).is_err());
        assert!(to.is_empty());
    }

    #[test]
    fn a_slow_volume_gets_small_pieces() {
        let mut pace = Pace { piece: limits::LARGEST_PIECE_BYTES };
        (0..30).for_each(|_| pace.learn(false));
        assert_eq!(pace.piece, limits::SMALLEST_PIECE_BYTES);
    }
}
