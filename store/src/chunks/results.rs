//! What a checkpoint that is being written consists of so far.

use std::collections::HashMap;
use std::io;

use crate::chunks::codec::Codec;
use crate::chunks::index::{Chunk, Index, Pack, Piece, Stream};
use crate::chunks::name::ChunkName;
use crate::chunks::pack::PackName;
use crate::chunks::sweep::Known;

/// A stream of those that are written.
#[derive(Debug, Default)]
struct Begun {
    name: String,
    pieces: Vec<Piece>,
    ended: bool,
}

/// Where a chunk is to be told, which has no place yet.
const NOWHERE: u32 = u32::MAX;

/// What there is so far. Numbers of chunks are given once, whoever of the threads comes first.
#[derive(Debug)]
pub struct Results {
    known: Known,
    numbers: HashMap<ChunkName, u32>,
    chunks: Vec<Chunk>,
    packs: Vec<Pack>,
    pack_numbers: HashMap<PackName, u32>,
    streams: Vec<Begun>,
}

/// The pieces of one batch, in whose order the numbers of chunks come when they are known.
pub struct Place {
    /// The number of the stream.
    pub stream: usize,
    /// The number of the first piece.
    pub first: usize,
}

impl Results {
    /// Nothing yet; what is `known` is not to be stored.
    pub fn new(known: Known) -> Self {
        let (numbers, chunks, streams) = (HashMap::new(), Vec::new(), Vec::new());
        Self { known, numbers, chunks, packs: Vec::new(), pack_numbers: HashMap::new(), streams }
    }

    /// Begins a stream.
    pub fn begin(&mut self, name: &str) -> usize {
        self.streams.push(Begun { name: name.to_owned(), ..Begun::default() });
        self.streams.len() - 1
    }

    /// A stream is whole.
    pub fn end(&mut self, stream: usize) {
        self.streams[stream].ended = true;
    }

    /// Takes the next pieces of a stream; of a chunk it is not known yet which it is.
    pub fn reserve(&mut self, stream: usize, pieces: impl Iterator<Item = Option<u64>>) -> Place {
        let all = &mut self.streams[stream].pieces;
        let first = all.len();
        all.extend(pieces.map(|zeros| zeros.map_or(Piece::Chunk(NOWHERE), Piece::Zeros)));
        Place { stream, first }
    }

    /// The numbers of the chunks with these names, and which of them are to be stored by who asks.
    pub fn numbers(&mut self, names: &[(ChunkName, u32)]) -> Vec<(u32, bool)> {
        names.iter().map(|(name, size)| self.number(*name, *size)).collect()
    }

    fn number(&mut self, name: ChunkName, size: u32) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&name) {
            return (*number, false);
        }
        let number = u32::try_from(self.chunks.len()).unwrap_or(NOWHERE);
        self.numbers.insert(name, number);
        if let Some((pack, chunk)) = self.known.get(&name) {
            let pack = self.pack(pack);
            self.chunks.push(Chunk { pack, ..chunk });
            return (number, false);
        }
        self.chunks.push(Chunk { name, pack: NOWHERE, offset: 0, kept: 0, size, codec: Codec::Plain });
        (number, true)
    }

    /// Puts the numbers of a batch's chunks where they belong.
    pub fn fill(&mut self, place: &Place, numbers: impl Iterator<Item = u32>) {
        let pieces = self.streams[place.stream].pieces[place.first..].iter_mut();
        let empty = pieces.filter(|piece| **piece == Piece::Chunk(NOWHERE));
        empty.zip(numbers).for_each(|(piece, number)| *piece = Piece::Chunk(number));
    }

    /// A chunk was written at `offset` of a pack.
    pub fn placed(&mut self, number: u32, pack: Pack, offset: u64, (codec, kept): (Codec, u32)) {
        let pack = self.pack(pack);
        let chunk = &mut self.chunks[number as usize];
        *chunk = Chunk { pack, offset, kept, codec, ..*chunk };
        let end = offset + u64::from(kept);
        let whole = &mut self.packs[pack as usize].bytes;
        *whole = end.max(*whole);
    }

    fn pack(&mut self, pack: Pack) -> u32 {
        let packs = &mut self.packs;
        *self.pack_numbers.entry(pack.name).or_insert_with(|| {
            packs.push(pack);
            packs.len() as u32 - 1
        })
    }

    /// Whether all streams have ended.
    ///
    /// # Errors
    /// One has not.
    pub fn are_whole(&self) -> io::Result<()> {
        let cut_off = self.streams.iter().find(|stream| !stream.ended);
        cut_off.map_or(Ok(()), |stream| Err(io::Error::other(format!("{} was cut off", stream.name))))
    }

    /// All of it.
    ///
    /// # Errors
    /// A chunk was not stored, or there are more than can be counted.
    pub fn finish(self) -> io::Result<Index> {
        if self.chunks.iter().any(|chunk| chunk.pack == NOWHERE) || self.chunks.len() >= NOWHERE as usize {
            return Err(io::Error::other("a chunk was not stored"));
        }
        let stream = |stream: Begun| Stream { name: stream.name, pieces: stream.pieces };
        let streams = self.streams.into_iter().map(stream).collect();
        Ok(Index { packs: self.packs, chunks: self.chunks, streams })
    }
}
