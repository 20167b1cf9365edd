//! What of the packs is needed, and what may be referred to again.

use std::collections::{HashMap, HashSet};

use crate::chunks::index::{Chunk, Index, Pack};
use crate::chunks::name::ChunkName;
use crate::chunks::pack::PackName;

/// The packs of `there` in which nothing is that one of these indexes needs.
pub fn needless(there: &[PackName], needed: &[Index]) -> Vec<PackName> {
    let needed: HashSet<PackName> =
        needed.iter().flat_map(|index| &index.packs).map(|pack| pack.name).collect();
    there.iter().copied().filter(|name| !needed.contains(name)).collect()
}

/// What is there already, and is not stored again.
#[derive(Debug, Default)]
pub struct Known(HashMap<ChunkName, (Pack, Chunk)>);

impl Known {
    /// What these indexes have. Not of packs most of which is needed no more: what is new there is stored once more, so that the pack
    /// goes with the checkpoints of before and does not stay for a few of its chunks.
    pub fn of<'a>(indexes: impl IntoIterator<Item = &'a Index>) -> Self {
        let mut found = HashMap::new();
        for index in indexes {
            let place = |chunk: &Chunk| (chunk.name, (index.packs[chunk.pack as usize], *chunk));
            found.extend(index.chunks.iter().map(place));
        }
        let mut live: HashMap<PackName, u64> = HashMap::new();
        for (pack, chunk) in found.values() {
            *live.entry(pack.name).or_default() += u64::from(chunk.kept);
        }
        found.retain(|_, (pack, _)| live[&pack.name] * 2 >= pack.bytes);
        Self(found)
    }

    /// Where a chunk of this name is.
    pub fn get(&self, name: &ChunkName) -> Option<&(Pack, Chunk)> {
        self.0.get(name)
    }

    /// How many chunks are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunks::codec::Codec;

    fn index(packs: &[(PackName, u64)], chunks: &[(u8, u32, u32)]) -> Index {
        let chunk = |(byte, pack, kept): &(u8, u32, u32)| Chunk {
            name: ChunkName::from_bytes([*byte; 32]),
            pack: *pack,
            offset: 0,
            kept: *kept,
            size: *kept,
            codec: Codec::Plain,
        };
        let packs =
            packs.iter().map(|(name, bytes)| Pack { name: *name, bytes: *bytes, secret: None }).collect();
        Index { packs, chunks: chunks.iter().map(chunk).collect(), streams: Vec::new() }
    }

    #[test]
    fn a_pack_goes_when_nobody_needs_it_and_not_before() {
        let [a, b, c] = [(); 3].map(|()| PackName::random().unwrap());
        let (old, new) = (index(&[(a, 10), (b, 10)], &[]), index(&[(b, 10)], &[]));
        assert_eq!(needless(&[a, b, c], &[old, new.clone()]), [c]);
        assert_eq!(needless(&[a, b, c], &[new]), [a, c]);
    }

    #[test]
    fn what_lies_among_waste_is_stored_again() {
        let [full, waste] = [(); 2].map(|()| PackName::random().unwrap());
        let index = index(&[(full, 100), (waste, 100)], &[(1, 0, 50), (2, 1, 49)]);
        let known = Known::of(&[index]);
        assert!(known.get(&ChunkName::from_bytes([1; 32])).is_some());
        assert!(known.get(&ChunkName::from_bytes([2; 32])).is_none());
        assert_eq!(known.len(), 1);
    }
}
