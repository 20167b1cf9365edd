//! A place in a stream, from which it is read.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::chunks::index::Piece;
use crate::chunks::read::ChunkReader;

/// Reads a stream from any place.
pub struct StreamCursor {
    streams: Arc<ChunkReader>,
    /// The number of the stream.
    number: usize,
    /// Where each of its pieces ends.
    ends: Vec<u64>,
    at: u64,
    /// The chunk that was read last, and which piece it is.
    chunk: Option<(usize, Vec<u8>)>,
}

impl StreamCursor {
    /// At the beginning of the stream of this name, if there is one.
    pub fn open(streams: &Arc<ChunkReader>, name: &str) -> Option<Self> {
        let number = streams.number(name)?;
        let index = streams.index();
        let mut end = 0;
        let sizes = index.streams[number].pieces.iter().map(|piece| index.piece_size(*piece).unwrap_or(0));
        let ends = sizes.map(|size| {
            end += size;
            end
        });
        let ends = ends.collect();
        Some(Self { streams: Arc::clone(streams), number, ends, at: 0, chunk: None })
    }

    /// How many bytes the stream has.
    pub fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The chunk that is this piece of the stream.
    fn chunk(&mut self, piece: usize) -> io::Result<&[u8]> {
        if self.chunk.as_ref().is_none_or(|(read, _)| *read != piece) {
            let bytes = self.streams.piece(self.number, piece);
            self.chunk = Some((piece, bytes.map_err(|error| io::Error::new(error.kind(), error))?));
        }
        Ok(self.chunk.as_ref().map_or(&[], |(_, bytes)| bytes))
    }
}

impl Read for StreamCursor {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let piece = self.ends.partition_point(|end| *end <= self.at);
        let Some(end) = self.ends.get(piece).copied() else { return Ok(0) };
        let begin = piece.checked_sub(1).map_or(0, |before| self.ends[before]);
        let part = bytes.len().min(usize::try_from(end - self.at).unwrap_or(usize::MAX));
        let skip = (self.at - begin) as usize;
        match self.streams.index().streams[self.number].pieces[piece] {
            Piece::Zeros(_) => bytes[..part].fill(0),
            Piece::Chunk(_) => bytes[..part].copy_from_slice(&self.chunk(piece)?[skip..skip + part]),
        }
        self.at += part as u64;
        Ok(part)
    }
}

impl Seek for StreamCursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
        };
        self.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
