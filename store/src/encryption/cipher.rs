//! Seals and opens what a generation is made of.
//!
//! No nonce is random or stored: each is made from where its message belongs. The same message at the same place is sealed to the
//! same bytes, so that a write that is tried again, by this pod or by another, changes nothing. That tells no more than the names do,
//! and it is what RFC 8452 allows: other bytes at the same place (a chunk that another release compresses better) are as safe as
//! under another nonce, since the cipher mixes into it all that is sealed.

use std::fmt;

use super::aead::{Aead, NONCE_BYTES, TAG_BYTES};
use super::context::{Context, place};
use super::error::NotAuthentic;
use super::secret::GenerationSecret;

/// By how many bytes what is sealed is longer.
pub const OVERHEAD: usize = TAG_BYTES;

/// Make the keys for these purposes from a generation's data key (BLAKE3, «derive key»).
const CHUNKS: &str = "crik 2026-11-27 chunks of a generation v1";
const INDEX: &str = "crik 2026-11-27 index of a generation v1";

/// Seals chunks of one image directory with the secret of the generation that wrote them. Later generations that have the same chunk
/// open it with that secret too, so it is bound to the directory alone.
pub struct ChunkCipher {
    aead: Aead,
    image_dir: [u8; 32],
}

impl ChunkCipher {
    /// For the chunks of this image directory.
    pub fn new(secret: &GenerationSecret, image_dir: &[u8]) -> Self {
        Self { aead: Aead::new(&secret.key_for(CHUNKS)), image_dir: place(image_dir) }
    }

    /// Adds the chunk of this name to `out`, sealed and so longer by [`OVERHEAD`].
    pub fn seal(&self, name: &[u8; 32], plain: &[u8], out: &mut Vec<u8>) {
        self.aead.seal(nonce(name), &self.place(name), plain, out);
    }

    /// Adds the chunk of this name to `out`, as it was before it was sealed.
    ///
    /// # Errors
    /// It is not as it was sealed, or was sealed for another name, directory or secret. Then `out` is as before.
    pub fn open(&self, name: &[u8; 32], sealed: &[u8], out: &mut Vec<u8>) -> Result<(), NotAuthentic> {
        self.aead.open(nonce(name), &self.place(name), sealed, out)
    }

    fn place(&self, name: &[u8; 32]) -> [u8; 64] {
        let mut place = [0; 64];
        place[..32].copy_from_slice(&self.image_dir);
        place[32..].copy_from_slice(name);
        place
    }
}

/// Seals the index of one generation, in as many parts as it has.
pub struct IndexCipher {
    aead: Aead,
    context: [u8; 40],
}

impl IndexCipher {
    /// For the index of this generation.
    pub fn new(secret: &GenerationSecret, context: &Context<'_>) -> Self {
        Self { aead: Aead::new(&secret.key_for(INDEX)), context: context.bytes() }
    }

    /// Adds the part of this name to `out`, sealed and so longer by [`OVERHEAD`].
    pub fn seal(&self, part: &str, plain: &[u8], out: &mut Vec<u8>) {
        let place = self.place(part);
        self.aead.seal(nonce(&place), &place, plain, out);
    }

    /// Adds the part of this name to `out`, as it was before it was sealed.
    ///
    /// # Errors
    /// It is not as it was sealed, or was sealed for another part, generation, directory or secret. Then `out` is as before.
    pub fn open(&self, part: &str, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), NotAuthentic> {
        let place = self.place(part);
        self.aead.open(nonce(&place), &place, sealed, out)
    }

    fn place(&self, part: &str) -> [u8; 32] {
        *blake3::Hasher::new().update(&self.context).update(part.as_bytes()).finalize().as_bytes()
    }
}

/// The first bytes of a hash, of which no two of a generation's are equal but by chance; then they are as safe as equal ones.
fn nonce(hash: &[u8; 32]) -> [u8; NONCE_BYTES] {
    std::array::from_fn(|at| hash[at])
}

/// Keys are shown nowhere.
impl fmt::Debug for ChunkCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkCipher")
    }
}

impl fmt::Debug for IndexCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexCipher")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use proptest::prelude::*;

    use super::*;
    use crate::encryption::fixture::{HERE, earlier};

    const NAME: [u8; 32] = [9; 32];

    fn secret() -> GenerationSecret {
        GenerationSecret::generate().unwrap()
    }

    fn chunks() -> ChunkCipher {
        ChunkCipher::new(&secret(), b"/checkpoints/job-0")
    }

    fn sealed(cipher: &ChunkCipher, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        cipher.seal(&NAME, plain, &mut sealed);
        sealed
    }

    fn opened(cipher: &ChunkCipher, name: &[u8; 32], sealed: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        let mut plain = Vec::new();
        cipher.open(name, sealed, &mut plain).map(|()| plain)
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_tells_only_its_length(plain in prop::collection::vec(any::<u8>(), 0..600)) {
            let cipher = chunks();
            let (mut sealed, mut out) = (b"before".to_vec(), b"before".to_vec());
            cipher.seal(&NAME, &plain, &mut sealed);
            prop_assert_eq!(sealed.len(), 6 + plain.len() + OVERHEAD);
            prop_assert!(plain.len() < 16 || !sealed.windows(16).any(|part| part == &plain[..16]));
            cipher.open(&NAME, &sealed[6..], &mut out).unwrap();
            prop_assert_eq!(out, [b"before", &plain[..]].concat());
        }

        #[test]
        fn what_is_altered_is_refused_and_leaves_nothing(
            plain in prop::collection::vec(any::<u8>(), 0..600),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let cipher = chunks();
            let whole = sealed(&cipher, &plain);
            let (mut altered, mut out) = (whole.clone(), b"before".to_vec());
            let at = at.index(whole.len());
            altered[at] ^= 1_u8 << bit;
            for wrong in [&altered, &whole[..at], &whole[at + 1..]] {
                prop_assert_eq!(cipher.open(&NAME, wrong, &mut out), Err(NotAuthentic));
            }
            prop_assert_eq!(out, b"before");
        }
    }

    #[test]
    fn what_earlier_releases_sealed_opens() {
        let sealed = |text: &str| BASE64.decode(text).unwrap();
        let chunk = sealed("w6myPkN2pu2PMh8wO/LLZV5uRb91");
        assert_eq!(
            opened(&ChunkCipher::new(&earlier(), HERE.image_dir), &NAME, &chunk),
            Ok(b"chunk".to_vec())
        );
        let (part, mut plain) = (sealed("IGYMuVU+PuOFwif1sJ2ekVD2cGRB"), Vec::new());
        IndexCipher::new(&earlier(), &HERE).open("pages-1", &part, &mut plain).unwrap();
        assert_eq!(plain, b"index");
    }

    #[test]
    fn a_chunk_opens_under_its_name_in_its_directory_with_its_secret_alone() {
        let (secret, plain) = (secret(), vec![7; 4096]);
        let cipher = ChunkCipher::new(&secret, b"/checkpoints/job-0");
        let chunk = sealed(&cipher, &plain);
        assert_eq!(opened(&ChunkCipher::new(&secret, b"/checkpoints/job-0"), &NAME, &chunk), Ok(plain));
        // The nonce is made from the first bytes of a name, and all of it counts.
        let mut last = NAME;
        last[31] += 1;
        for name in [[0; 32], last] {
            assert_eq!(opened(&cipher, &name, &chunk), Err(NotAuthentic));
        }
        assert_eq!(
            opened(&ChunkCipher::new(&secret, b"/checkpoints/job-1"), &NAME, &chunk),
            Err(NotAuthentic)
        );
        let later = secret.following().unwrap();
        assert_eq!(
            opened(&ChunkCipher::new(&later, b"/checkpoints/job-0"), &NAME, &chunk),
            Err(NotAuthentic)
        );
    }

    #[test]
    fn a_chunk_is_sealed_alike_each_time_and_compressed_in_another_way_shares_nothing_with_it() {
        let cipher = chunks();
        let one = sealed(&cipher, &[7; 4096]);
        assert_eq!(one, sealed(&cipher, &[7; 4096]));
        let mut plain = [7; 4096];
        plain[4095] = 8;
        let other = sealed(&cipher, &plain);
        // Were only the last byte another one, who has both would know by how much they differ.
        let alike = one.iter().zip(&other).filter(|(one, other)| one == other).count();
        assert!(alike < 100, "{alike} of {} bytes", one.len());
    }

    #[test]
    fn a_part_of_an_index_opens_as_that_part_of_its_generation_alone() {
        let (secret, mut part) = (secret(), Vec::new());
        let at = |image_dir, generation| IndexCipher::new(&secret, &Context { image_dir, generation });
        at(HERE.image_dir, HERE.generation).seal("pages-1", b"index", &mut part);
        let open = |cipher: &IndexCipher, name| {
            let mut plain = Vec::new();
            cipher.open(name, &part, &mut plain).map(|()| plain)
        };
        assert_eq!(open(&IndexCipher::new(&secret, &HERE), "pages-1"), Ok(b"index".to_vec()));
        assert_eq!(open(&at(HERE.image_dir, HERE.generation), "pages-2"), Err(NotAuthentic));
        assert_eq!(open(&at(HERE.image_dir, HERE.generation + 1), "pages-1"), Err(NotAuthentic));
        assert_eq!(open(&at(b"/checkpoints/job-1", HERE.generation), "pages-1"), Err(NotAuthentic));
        assert_eq!(
            open(&IndexCipher::new(&secret.following().unwrap(), &HERE), "pages-1"),
            Err(NotAuthentic)
        );
    }

    #[test]
    fn a_chunk_is_no_part_of_an_index() {
        let secret = secret();
        let (chunks, index) = (ChunkCipher::new(&secret, HERE.image_dir), IndexCipher::new(&secret, &HERE));
        let (mut part, place) = (Vec::new(), [3; 64]);
        index.aead.seal([0; NONCE_BYTES], &place, b"index", &mut part);
        assert_eq!(chunks.aead.open([0; NONCE_BYTES], &place, &part, &mut Vec::new()), Err(NotAuthentic));
    }

    #[test]
    fn a_cipher_does_not_show_its_key() {
        let shown =
            |secret| format!("{:?} {:?}", ChunkCipher::new(&secret, b""), IndexCipher::new(&secret, &HERE));
        assert_eq!(shown(secret()), "ChunkCipher IndexCipher");
    }
}
