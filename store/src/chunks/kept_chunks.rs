//! The chunks of a checkpoint as they are kept: where they are, and what they are named and sealed with.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};

use crate::backend::large::Source;
use crate::chunks::index::{Chunk, Index, SecretId};
use crate::chunks::name::NameKey;
use crate::chunks::pack::PackPlace;
use crate::encryption::cipher::ChunkCipher;

/// What opens chunks, by what they were sealed with.
pub type Ciphers = HashMap<SecretId, ChunkCipher>;

pub(super) struct KeptChunks {
    pub index: Index,
    pub names: NameKey,
    pub ciphers: Ciphers,
    place: Arc<dyn PackPlace>,
    packs: Vec<OnceLock<Box<dyn Source>>>,
}

impl KeptChunks {
    pub fn new(index: Index, place: Arc<dyn PackPlace>, (names, ciphers): (NameKey, Ciphers)) -> Self {
        let packs = index.packs.iter().map(|_| OnceLock::new()).collect();
        Self { index, names, ciphers, place, packs }
    }

    /// The pack that a chunk is in, which is opened once.
    ///
    /// # Errors
    /// It is not there.
    pub fn source(&self, chunk: &Chunk) -> io::Result<&dyn Source> {
        let place = &self.packs[chunk.pack as usize];
        if let Some(source) = place.get() {
            return Ok(&**source);
        }
        let opened = self.place.open(self.index.packs[chunk.pack as usize].name)?;
        Ok(&**place.get_or_init(|| opened))
    }
}
