//! A key that all pods have: who has it writes and reads.

use zeroize::Zeroizing;

use super::aead::{Aead, NONCE_BYTES};
use super::context::Context;
use super::error::EncryptionError;
use super::key_id::KeyId;

/// Make the key for this purpose, and its name, from what the Secret holds (BLAKE3, «derive key»): the same Secret for another purpose
/// makes other ones.
const CONTEXT: &str = "crik 2026-11-27 wrapping of a generation's secret v1";
const ID_CONTEXT: &str = "crik 2026-11-27 name of an encryption key v1";

pub(super) struct SharedKey {
    key: Zeroizing<[u8; 32]>,
    pub(super) id: KeyId,
}

impl SharedKey {
    pub(super) fn new(secret: &[u8]) -> Self {
        let id = KeyId::of_hash(blake3::derive_key(ID_CONTEXT, secret));
        Self { key: Zeroizing::new(blake3::derive_key(CONTEXT, secret)), id }
    }

    pub(super) fn wrap(&self, secret: &[u8], context: &Context<'_>) -> Result<Vec<u8>, EncryptionError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(EncryptionError::NoRandomNumbers)?;
        let mut wrapped = nonce.to_vec();
        Aead::new(&self.key).seal(nonce, &context.bytes(), secret, &mut wrapped);
        Ok(wrapped)
    }

    pub(super) fn unwrap(&self, wrapped: &[u8], context: &Context<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_BYTES>()?;
        let mut secret = Zeroizing::new(Vec::with_capacity(sealed.len()));
        Aead::new(&self.key).open(*nonce, &context.bytes(), sealed, &mut secret).ok()?;
        Some(secret)
    }
}
