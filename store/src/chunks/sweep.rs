//! What of the packs is needed, and what may be referred to again.

use std::collections::{HashMap, HashSet};

use crate::chunks::codec::Codec;
use crate::chunks::index::{Chunk, Index, Pack};
use crate::chunks::name::ChunkName;
use crate::chunks::pack::PackName;

/// The packs of `there` in which nothing is that one of these indexes needs.
pub fn needless(there: &[PackName], needed: &[Index]) -> Vec<PackName> {
    let needed: HashSet<PackName> =
        needed.iter().flat_map(|index| &index.packs).map(|pack| pack.name).collect();
    there.iter().copied().filter(|name| !needed.contains(name)).collect()
}

/// What is there already, and is not stored again. Held as long as a checkpoint is written, and so as small as can be.
#[derive(Debug, Default)]
pub struct Known {
    packs: Vec<Pack>,
    chunks: HashMap<ChunkName, Place>,
}

/// A chunk without its name.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    /// The number of its pack among those that are known.
    pack: u32,
    kept: u32,
    size: u32,
    codec: Codec,
}

impl Known {
    /// What these indexes have. Not of packs most of which is needed no more: what is new there is stored once more, so that the pack
    /// goes with the checkpoints of before and does not stay for a few of its chunks.
    pub fn of<'a>(indexes: impl IntoIterator<Item = &'a Index>) -> Self {
        let (mut known, mut numbers) = (Self::default(), HashMap::new());
        for index in indexes {
            let own: Vec<u32> = index.packs.iter().map(|pack| known.number(&mut numbers, *pack)).collect();
            let place = |chunk: &Chunk| {
                let Chunk { name, offset, kept, size, codec, pack } = *chunk;
                (name, Place { offset, pack: own[pack as usize], kept, size, codec })
            };
            known.chunks.extend(index.chunks.iter().map(place));
        }
        let mut live = vec![0; known.packs.len()];
        known.chunks.values().for_each(|place| live[place.pack as usize] += u64::from(place.kept));
        let packs = &known.packs;
        known.chunks.retain(|_, place| live[place.pack as usize] * 2 >= packs[place.pack as usize].bytes);
        known
    }

    /// The number of a pack; of what two indexes tell of one, the last counts.
    fn number(&mut self, numbers: &mut HashMap<PackName, u32>, pack: Pack) -> u32 {
        let next = self.packs.len() as u32;
        let number = *numbers.entry(pack.name).or_insert(next);
        match self.packs.get_mut(number as usize) {
            Some(known) => *known = pack,
            None => self.packs.push(pack),
        }
        number
    }

    /// Where a chunk of this name is.
    pub fn get(&self, name: &ChunkName) -> Option<(Pack, Chunk)> {
        let Place { offset, pack, kept, size, codec } = *self.chunks.get(name)?;
        Some((self.packs[pack as usize], Chunk { name: *name, pack, offset, kept, size, codec }))
    }

    /// How many chunks are known.
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_two_indexes_have_is_found_in_the_pack_where_it_is() {
        let [a, b] = [(); 2].map(|()| PackName::random().unwrap());
        let (old, new) =
            (index(&[(a, 10)], &[(1, 0, 10)]), index(&[(b, 20), (a, 10)], &[(2, 0, 20), (3, 1, 9)]));
        let known = Known::of(&[old, new]);
        let found =
            |byte| known.get(&ChunkName::from_bytes([byte; 32])).map(|(pack, chunk)| (pack.name, chunk.kept));
        assert_eq!(
            [found(1), found(2), found(3), found(4)],
            [Some((a, 10)), Some((b, 20)), Some((a, 9)), None]
        );
    }

    #[test]
    fn a_known_chunk_takes_little_memory() {
        // One for each 32 KiB of what the generations have, and their table is up to twice as large.
        assert!(size_of::<(ChunkName, Place)>() <= 56);
    }
}
