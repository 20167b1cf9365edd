//! Gives the streams of a checkpoint as they were. Each chunk is compared with its name when it is used, and not before: what was
//! verified is what is used.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, scope};

use crate::base::headway::Headway;
use crate::base::limits::{GROUPS_OF_HELPERS, READ_GROUP_BYTES, READERS_MAX};
use crate::base::side_by_side::in_threads;
use crate::chunks::buffers::{Lent, Pool};
use crate::chunks::group_reader::GroupReader;
use crate::chunks::index::{CHUNK_MAX_BYTES, Chunk, Index, Piece};
pub use crate::chunks::kept_chunks::Ciphers;
use crate::chunks::kept_chunks::KeptChunks;
use crate::chunks::name::NameKey;
use crate::chunks::pack::PackPlace;
use crate::chunks::read_ahead::ReadAhead;
pub use crate::chunks::read_error::ReadError;

/// Reads a checkpoint.
pub struct ChunkReader {
    kept: KeptChunks,
    headway: Arc<Headway>,
    streams: HashMap<String, usize>,
    helpers_left: AtomicUsize,
    /// For groups.
    buffers: Arc<Pool>,
}

/// Pieces that are read at once, and where they are in their stream.
type Group<'a> = &'a [Piece];

impl ChunkReader {
    /// Of what this index tells, with what its chunks were named and sealed.
    pub fn new(
        index: Index,
        place: Arc<dyn PackPlace>,
        (names, ciphers): (NameKey, Ciphers),
        headway: Arc<Headway>,
    ) -> Self {
        let named = index.streams.iter().enumerate().map(|(number, stream)| (stream.name.clone(), number));
        let streams = named.collect();
        let helpers_left = AtomicUsize::new(READERS_MAX);
        let buffers = Pool::new(READ_GROUP_BYTES + CHUNK_MAX_BYTES);
        let kept = KeptChunks::new(index, place, (names, ciphers));
        Self { kept, headway, streams, helpers_left, buffers }
    }

    /// What it consists of.
    pub fn index(&self) -> &Index {
        &self.kept.index
    }

    /// How many bytes the stream of this name has; none if there is no such stream.
    pub fn size(&self, stream: &str) -> Option<u64> {
        self.kept.index.size(&self.kept.index.streams[self.number(stream)?])
    }

    /// The number of the stream of this name.
    pub(super) fn number(&self, stream: &str) -> Option<usize> {
        self.streams.get(stream).copied()
    }

    /// The chunk that is a piece of a stream; nothing if that is zeros.
    pub(super) fn piece(&self, stream: usize, piece: usize) -> Result<Vec<u8>, ReadError> {
        let stream = &self.kept.index.streams[stream];
        let Some(chunk) = self.chunk(stream.pieces[piece]) else { return Ok(Vec::new()) };
        let mut bytes = vec![0; chunk.size as usize];
        GroupReader::new(&self.kept, &stream.name).read(&[chunk], &mut bytes).map(|()| bytes)
    }

    /// Writes a stream to `to`, and says how many bytes it has. Other processors read ahead. Blocks.
    ///
    /// # Errors
    /// It is not what it was, or nobody takes it, or it was given up.
    pub fn copy(&self, stream: &str, to: &mut dyn Write) -> Result<u64, ReadError> {
        let number = *self.streams.get(stream).ok_or_else(|| ReadError::Absent(stream.to_owned()))?;
        let groups = self.groups(&self.kept.index.streams[number].pieces);
        let helpers = self.helpers_for(groups.len());
        let (ahead, mut reader) = (ReadAhead::new(), GroupReader::new(&self.kept, stream));
        let mut copied = 0;
        scope(|threads| {
            if helpers > 0 {
                in_threads(threads, ("crik-read", helpers), || self.read_ahead(stream, &groups, &ahead));
            }
            let outcome = groups.iter().enumerate().try_for_each(|(number, group)| {
                let bytes = if helpers > 0 {
                    ahead.take(number, &self.headway).unwrap_or_else(|| Err(given_up(stream)))
                } else {
                    self.read(&mut reader, group)
                };
                copied += self.hand_on(stream, group, &bytes?, to)?;
                Ok(())
            });
            ahead.stop();
            outcome
        })?;
        Ok(copied)
    }

    /// How many threads read ahead for a stream of so many groups. Each takes a process id, and the tree that is restored needs its own.
    fn helpers_for(&self, groups: usize) -> usize {
        if groups < GROUPS_OF_HELPERS {
            return 0;
        }
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let take = |left: usize| left.checked_sub(processors);
        let taken = self.helpers_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map_or(0, |_| processors)
    }

    /// Pieces of about so many bytes that are read.
    fn groups<'a>(&self, pieces: &'a [Piece]) -> Vec<Group<'a>> {
        let (mut groups, mut first, mut bytes) = (Vec::new(), 0, 0);
        for (number, piece) in pieces.iter().enumerate() {
            bytes += self.chunk(*piece).map_or(0, |chunk| chunk.size as usize);
            if bytes >= READ_GROUP_BYTES {
                groups.push(&pieces[first..=number]);
                (first, bytes) = (number + 1, 0);
            }
        }
        groups.extend((first < pieces.len()).then(|| &pieces[first..]));
        groups
    }

    fn chunk(&self, piece: Piece) -> Option<&Chunk> {
        match piece {
            Piece::Zeros(_) => None,
            Piece::Chunk(number) => self.kept.index.chunks.get(number as usize),
        }
    }

    fn read_ahead(&self, stream: &str, groups: &[Group<'_>], ahead: &ReadAhead<Result<Lent, ReadError>>) {
        let mut reader = GroupReader::new(&self.kept, stream);
        while let Some(number) = ahead.next(groups.len()) {
            ahead.put(number, self.read(&mut reader, groups[number]));
        }
    }

    /// All chunks of a group, one after the other.
    fn read(&self, reader: &mut GroupReader<'_>, group: Group<'_>) -> Result<Lent, ReadError> {
        let chunks: Vec<&Chunk> = group.iter().filter_map(|piece| self.chunk(*piece)).collect();
        let mut bytes = self.buffers.lend();
        reader.read(&chunks, &mut bytes).map(|()| bytes)
    }

    /// Writes the pieces of a group, with whose chunks `bytes` begins.
    fn hand_on(
        &self,
        stream: &str,
        group: Group<'_>,
        mut bytes: &[u8],
        to: &mut dyn Write,
    ) -> Result<u64, ReadError> {
        let taker = |source| ReadError::Taker { stream: stream.to_owned(), source };
        let mut written = 0;
        let mut own = 0;
        for piece in group {
            match piece {
                Piece::Chunk(_) => own += self.chunk(*piece).map_or(0, |chunk| chunk.size as usize),
                Piece::Zeros(count) => {
                    let (before, rest) = bytes.split_at(own);
                    to.write_all(before).and_then(|()| write_zeros(to, *count)).map_err(taker)?;
                    (bytes, own) = (rest, 0);
                    written += before.len() as u64 + count;
                }
            }
        }
        to.write_all(&bytes[..own]).map_err(taker)?;
        written += own as u64;
        self.headway.go_on(written).map_err(taker)?;
        Ok(written)
    }
}

fn given_up(stream: &str) -> ReadError {
    ReadError::Taker { stream: stream.to_owned(), source: io::Error::other("it was given up") }
}

fn write_zeros(to: &mut dyn Write, count: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut left = count;
    while left > 0 {
        let part = left.min(ZEROS.len() as u64);
        to.write_all(&ZEROS[..part as usize])?;
        left -= part;
    }
    Ok(())
}
