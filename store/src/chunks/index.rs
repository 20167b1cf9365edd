//! What a checkpoint consists of: for each of its streams the pieces, and where each chunk is.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::base::limits::{CHUNK_MAX_PAGES, PAGE_BYTES};
use crate::chunks::codec::Codec;
use crate::chunks::name::ChunkName;
use crate::chunks::pack::PackName;
use crate::encryption::cipher::OVERHEAD;

/// The first bytes of every index: what it is, and the version of its form.
const HEAD: &[u8; 8] = b"crikidx1";

/// The largest chunk.
pub const CHUNK_MAX_BYTES: usize = CHUNK_MAX_PAGES * PAGE_BYTES;

/// What a checkpoint consists of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// The packs in which its chunks are.
    pub packs: Vec<Pack>,
    /// Its chunks.
    pub chunks: Vec<Chunk>,
    /// Its streams.
    pub streams: Vec<Stream>,
}

/// A pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Its name.
    pub name: PackName,
    /// How many bytes it has, with those of chunks that are none of this index.
    pub bytes: u64,
    /// With what its chunks are sealed; nothing if they are not.
    pub secret: Option<SecretId>,
}

/// Tells what chunks are sealed with from the same of other generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretId(pub u64);

/// A chunk, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its name, by which it is compared with what is read.
    pub name: ChunkName,
    /// The number of its pack among those of the index.
    pub pack: u32,
    /// Where it begins there.
    pub offset: u64,
    /// How many bytes it has there.
    pub kept: u32,
    /// How many it has.
    pub size: u32,
    /// How it is kept.
    pub codec: Codec,
}

/// A stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// Its name, which is a path in the generation.
    pub name: String,
    /// Its pieces in their order.
    pub pieces: Vec<Piece>,
}

/// A piece of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// So many bytes that are zero.
    Zeros(u64),
    /// The chunk of this number among those of the index.
    Chunk(u32),
}

/// Why what is to be an index is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// It begins in another way.
    #[error("its index is none, or was written by a later crik; use the newer crik")]
    Unknown,
    /// It is not what was written.
    #[error("its index is damaged: {0}")]
    Damaged(String),
}

impl Index {
    /// As it is written.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn encode(&self) -> Result<Vec<u8>, IndexError> {
        let damaged = |error: postcard::Error| IndexError::Damaged(error.to_string());
        postcard::to_extend(self, HEAD.to_vec()).map_err(damaged)
    }

    /// Reads what was written. What it gives is whole in itself: each number is of something that there is.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let rest = bytes.strip_prefix(HEAD).ok_or(IndexError::Unknown)?;
        let (index, left) = postcard::take_from_bytes::<Self>(rest)
            .map_err(|error| IndexError::Damaged(error.to_string()))?;
        let damaged = |what: &str| Err(IndexError::Damaged(what.to_owned()));
        if !left.is_empty() {
            return damaged("something stands behind it");
        }
        if !index.chunks.iter().all(|chunk| index.has_place(chunk)) {
            return damaged("a chunk is nowhere");
        }
        if index.streams.iter().any(|stream| index.size(stream).is_none()) {
            return damaged("a stream has a piece that there is not");
        }
        let names: HashSet<&str> = index.streams.iter().map(|stream| stream.name.as_str()).collect();
        if names.len() < index.streams.len() { damaged("two streams have one name") } else { Ok(index) }
    }

    fn has_place(&self, chunk: &Chunk) -> bool {
        let sizes = [chunk.kept, chunk.size].map(|size| size as usize);
        let end = chunk.offset.checked_add(u64::from(chunk.kept));
        self.packs.get(chunk.pack as usize).is_some_and(|pack| end.is_some_and(|end| end <= pack.bytes))
            && (1..=CHUNK_MAX_BYTES).contains(&sizes[1])
            && (1..=sizes[1] + OVERHEAD).contains(&sizes[0])
    }

    /// The stream of this name.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name == name)
    }

    /// How many bytes a stream has. None if it has a piece that there is not, or more bytes than can be counted.
    pub fn size(&self, stream: &Stream) -> Option<u64> {
        stream.pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(self.piece_size(*piece)?))
    }

    /// How many bytes a piece has. None if there is no such chunk.
    pub fn piece_size(&self, piece: Piece) -> Option<u64> {
        match piece {
            Piece::Zeros(count) => Some(count),
            Piece::Chunk(number) => self.chunks.get(number as usize).map(|chunk| u64::from(chunk.size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index() -> Index {
        let chunk = Chunk {
            name: ChunkName::from_bytes([9; 32]),
            pack: 0,
            offset: 5,
            kept: 100,
            size: 4096,
            codec: Codec::Lz4,
        };
        let stream = |name: &str, pieces| Stream { name: name.to_owned(), pieces };
        Index {
            packs: vec![Pack { name: PackName::random().unwrap(), bytes: 105, secret: None }],
            chunks: vec![chunk],
            streams: vec![
                stream("criu/pages-1.img", vec![Piece::Zeros(8192), Piece::Chunk(0), Piece::Chunk(0)]),
                stream("criu/empty.img", vec![]),
            ],
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let index = index();
        assert_eq!(Index::decode(&index.encode().unwrap()), Ok(index.clone()));
        assert_eq!(index.size(index.stream("criu/pages-1.img").unwrap()), Some(16384));
    }

    #[test]
    fn what_leads_nowhere_is_damaged() {
        let with = |change: fn(&mut Index)| {
            let mut index = index();
            change(&mut index);
            Index::decode(&index.encode().unwrap()).unwrap_err().to_string()
        };
        assert!(with(|index| index.chunks[0].pack = 1).contains("a chunk is nowhere"));
        assert!(with(|index| index.chunks[0].size = 1 << 30).contains("a chunk is nowhere"));
        assert!(with(|index| index.chunks[0].kept = 4113).contains("a chunk is nowhere"));
        assert!(with(|index| index.chunks[0].offset = u64::MAX).contains("a chunk is nowhere"));
        assert!(
            with(|index| index.streams[0].pieces[1] = Piece::Chunk(1)).contains("a piece that there is not")
        );
        assert!(with(|index| index.streams[0].pieces[1] = Piece::Zeros(u64::MAX)).contains("a piece"));
        assert!(with(|index| index.streams[1].name = "criu/pages-1.img".to_owned()).contains("one name"));
        assert_eq!(Index::decode(b"something else"), Err(IndexError::Unknown));
    }

    proptest! {
        #[test]
        fn a_damaged_one_is_refused_or_whole_in_itself(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut bytes = index().encode().unwrap();
            let place = at.index(bytes.len());
            bytes[place] = byte;
            bytes.truncate(cut.index(bytes.len() * 2).max(1));
            if let Ok(index) = Index::decode(&bytes) {
                prop_assert!(index.streams.iter().all(|stream| index.size(stream).is_some()));
            }
        }
    }
}
