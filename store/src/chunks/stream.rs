//! A stream on its way into chunks. It is read into the buffer in which it is cut, named and compressed, and copied nowhere else but for
//! the few pages behind the last cut.

use std::io::{self, Read, Write};
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::Sender;

use crate::base::limits::BATCH_BYTES;
use crate::chunks::buffers::Lent;
use crate::chunks::cut::{Cutter, Piece};
use crate::chunks::results::Place;
use crate::chunks::shared::Shared;

/// Some chunks of a stream.
pub(super) struct Batch {
    pub place: Place,
    pub bytes: Lent,
    /// Where each chunk is.
    pub chunks: Vec<Range<usize>>,
}

/// A stream that is stored.
pub struct StreamWriter {
    shared: Arc<Shared>,
    batches: Sender<Batch>,
    stream: usize,
    cutter: Cutter,
    buffer: Lent,
    /// So much of the buffer is of the stream.
    filled: usize,
    found: Found,
}

/// The pieces that are in no batch yet.
#[derive(Default)]
struct Found {
    /// Of a run of zeros how many bytes it has.
    pieces: Vec<Option<u64>>,
    chunks: Vec<Range<usize>>,
}

impl StreamWriter {
    pub(super) fn new(shared: Arc<Shared>, batches: Sender<Batch>, stream: usize) -> Self {
        let buffer = shared.batches.lend();
        Self {
            shared,
            batches,
            stream,
            cutter: Cutter::default(),
            buffer,
            filled: 0,
            found: Found::default(),
        }
    }

    /// Stores what is read at once, and says how much that was: nothing at the end.
    ///
    /// # Errors
    /// It cannot be read, or not be stored.
    pub fn read_from(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        self.shared.may_go_on()?;
        let bytes = from.read(&mut self.buffer[self.filled..])?;
        self.filled += bytes;
        let found = &mut self.found;
        self.cutter.cut(&self.buffer[..self.filled], &mut |piece| found.take_in(piece));
        self.shared.headway.go_on(bytes as u64)?;
        if self.filled >= BATCH_BYTES || self.found.pieces.len() >= BATCH_BYTES / 64 {
            self.hand_on()?;
        }
        Ok(bytes)
    }

    /// The stream is whole.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn finish(mut self) -> io::Result<()> {
        let found = &mut self.found;
        mem::take(&mut self.cutter).end(&self.buffer[..self.filled], &mut |piece| found.take_in(piece));
        self.hand_on()?;
        self.shared.results(|results| results.end(self.stream))
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let Found { pieces, chunks } = mem::take(&mut self.found);
        let place = self.shared.results(|results| results.reserve(self.stream, pieces.into_iter()))?;
        let rest = self.cutter.rest()..self.filled;
        self.filled = rest.len();
        if chunks.is_empty() {
            self.buffer.copy_within(rest, 0);
            return Ok(());
        }
        let mut next = self.shared.batches.lend();
        next[..rest.len()].copy_from_slice(&self.buffer[rest]);
        let bytes = mem::replace(&mut self.buffer, next);
        self.shared.send(&self.batches, Batch { place, bytes, chunks })
    }
}

impl Write for StreamWriter {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        self.read_from(&mut bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Found {
    fn take_in(&mut self, piece: Piece) {
        match piece {
            Piece::Zeros(count) => self.pieces.push(Some(count)),
            Piece::Chunk(range) => {
                self.pieces.push(None);
                self.chunks.push(range);
            }
        }
    }
}
