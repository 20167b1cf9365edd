//! The one cipher that data is sealed with here: AES-256-GCM-SIV (RFC 8452). Two messages under one nonce tell who reads them no more
//! than whether they are equal, where another cipher would lose both and its key: so a generator of random numbers that repeats itself,
//! or a chunk that is compressed once more in another way, gives nothing away.

use aes_gcm_siv::aead::{AeadInOut, KeyInit};
use aes_gcm_siv::{Aes256GcmSiv, Nonce, Tag};

use super::error::NotAuthentic;

/// How many bytes a nonce has.
pub(super) const NONCE_BYTES: usize = 12;

/// By how many bytes what is sealed is longer.
pub(super) const TAG_BYTES: usize = 16;

/// A key, ready to seal and to open. It is overwritten when it is dropped.
pub(super) struct Aead(Aes256GcmSiv);

impl Aead {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256GcmSiv::new(key.into()))
    }

    /// Adds `plain` to `out`, sealed.
    pub(super) fn seal(&self, nonce: [u8; NONCE_BYTES], place: &[u8], plain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(plain.len() + TAG_BYTES);
        out.extend_from_slice(plain);
        let sealed = self.0.encrypt_inout_detached(&Nonce::from(nonce), place, (&mut out[start..]).into());
        // RFC 8452 refuses only what has 64 GiB and more, for which there is no memory.
        out.extend_from_slice(&sealed.expect("it fits into memory"));
    }

    /// Adds to `out` what was sealed with this nonce for this place.
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        place: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), NotAuthentic> {
        let (text, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(NotAuthentic)?;
        let start = out.len();
        out.extend_from_slice(text);
        let (nonce, tag) = (Nonce::from(nonce), Tag::from(*tag));
        let opened = self.0.decrypt_inout_detached(&nonce, place, (&mut out[start..]).into(), &tag);
        opened.map_err(|_| {
            out.truncate(start);
            NotAuthentic
        })
    }
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;

    #[test]
    fn its_key_is_overwritten_when_it_is_dropped() {
        fn overwritten<T: ZeroizeOnDrop>() {}
        // What `Aes256GcmSiv` has besides is no more than this.
        overwritten::<aes::Aes256>();
    }

    #[test]
    fn it_is_what_the_standard_says() {
        let (mut key, mut nonce) = ([0; 32], [0; NONCE_BYTES]);
        (key[0], nonce[0]) = (1, 3);
        let mut sealed = Vec::new();
        // RFC 8452, C.2.
        for (place, plain, expected) in [
            (&[][..], &[1, 0, 0, 0, 0, 0, 0, 0][..], "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
            (&[1], &[2, 0, 0, 0, 0, 0, 0, 0], "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
        ] {
            sealed.clear();
            Aead::new(&key).seal(nonce, place, plain, &mut sealed);
            let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected);
        }
    }
}
