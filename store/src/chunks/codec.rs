//! Makes a chunk smaller, and what it was again.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// How a chunk is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// As it is.
    Plain,
    /// LZ4, a block without a frame.
    Lz4,
    /// Zstandard at its first level.
    Zstd,
}

impl Codec {
    /// All, those that take less time first.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Lz4, Self::Zstd];
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "no compression",
            Self::Lz4 => "LZ4",
            Self::Zstd => "Zstandard",
        })
    }
}

/// Zstandard's level: the second takes half as long again and makes arrays of numbers smaller by a hundredth.
const ZSTD_LEVEL: i32 = 1;

/// Makes chunks smaller and larger; it is kept for many, since Zstandard's tables take longer to make than a chunk to compress.
pub struct Coder {
    compressor: zstd::bulk::Compressor<'static>,
    decompressor: zstd::bulk::Decompressor<'static>,
    /// Where a smaller one is made.
    smaller: Vec<u8>,
}

impl Coder {
    /// A new one.
    ///
    /// # Errors
    /// There is no memory for its tables.
    pub fn new() -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        Ok(Self { compressor, decompressor: zstd::bulk::Decompressor::new()?, smaller: Vec::new() })
    }

    /// The chunk as it is kept by this codec, or as it is where that is no smaller.
    pub fn encode<'a>(&'a mut self, codec: Codec, chunk: &'a [u8]) -> (Codec, &'a [u8]) {
        let room = match codec {
            Codec::Plain => return (Codec::Plain, chunk),
            Codec::Lz4 => lz4_flex::block::get_maximum_output_size(chunk.len()),
            Codec::Zstd => zstd::zstd_safe::compress_bound(chunk.len()),
        };
        self.smaller.resize(room.max(self.smaller.len()), 0);
        let written = match codec {
            Codec::Zstd => self.compressor.compress_to_buffer(chunk, &mut self.smaller[..]).ok(),
            _ => lz4_flex::block::compress_into(chunk, &mut self.smaller).ok(),
        };
        match written.filter(|written| *written < chunk.len()) {
            Some(written) => (codec, &self.smaller[..written]),
            None => (Codec::Plain, chunk),
        }
    }

    /// Fills `chunk` with what was kept, of which it must be exactly as much.
    ///
    /// # Errors
    /// It is not what was kept.
    pub fn decode(&mut self, codec: Codec, kept: &[u8], chunk: &mut [u8]) -> io::Result<()> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is not what was compressed");
        let size = match codec {
            Codec::Plain if kept.len() == chunk.len() => {
                chunk.copy_from_slice(kept);
                return Ok(());
            }
            Codec::Plain => return Err(wrong()),
            Codec::Lz4 => lz4_flex::block::decompress_into(kept, chunk).map_err(|_| wrong())?,
            Codec::Zstd => self.decompressor.decompress_to_buffer(kept, chunk).map_err(|_| wrong())?,
        };
        if size == chunk.len() { Ok(()) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(codec: Codec, chunk: &[u8]) -> (Codec, usize) {
        let mut coder = Coder::new().unwrap();
        let (kept_by, kept) = coder.encode(codec, chunk);
        let kept = kept.to_vec();
        let mut again = vec![1; chunk.len()];
        coder.decode(kept_by, &kept, &mut again).unwrap();
        assert_eq!(again, chunk);
        (kept_by, kept.len())
    }

    proptest! {
        #[test]
        fn a_chunk_is_the_same_again_and_never_larger(chunk in prop::collection::vec(0..4_u8, 0..70_000)) {
            for codec in Codec::ALL {
                prop_assert!(there_and_back(codec, &chunk).1 <= chunk.len());
            }
        }

        #[test]
        fn what_was_altered_is_an_error_or_other_bytes_and_no_panic(
            at in 0..2000_usize, byte: u8, chunk in prop::collection::vec(0..3_u8, 5000),
        ) {
            let mut coder = Coder::new().unwrap();
            for codec in Codec::ALL {
                let (kept_by, kept) = coder.encode(codec, &chunk);
                let mut kept = kept.to_vec();
                let at = at % kept.len();
                kept[at] = byte;
                let mut again = vec![0; chunk.len()];
                let _ = coder.decode(kept_by, &kept, &mut again);
            }
        }
    }

    #[test]
    fn what_cannot_be_made_smaller_is_kept_as_it_is() {
        let random: Vec<u8> =
            (0..40_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        let hashed: Vec<u8> = random.chunks(32).flat_map(|part| *blake3::hash(part).as_bytes()).collect();
        for codec in Codec::ALL {
            assert_eq!(there_and_back(codec, &hashed).0, Codec::Plain);
        }
    }

    #[test]
    fn what_has_another_size_than_it_should_is_refused() {
        let mut coder = Coder::new().unwrap();
        for codec in Codec::ALL {
            let (kept_by, kept) = coder.encode(codec, &[7; 8192]);
            let kept = kept.to_vec();
            for size in [0, 8191, 8193] {
                assert!(coder.decode(kept_by, &kept, &mut vec![0; size]).is_err(), "{codec:?} {size}");
            }
        }
    }
}
