//! Encryption at rest: what leaves the machine tells nothing to who lacks the key, and is refused once it was altered or put elsewhere.
//! It imports `base` alone.
//!
//! Each generation has a secret of its own ([`secret`]), which seals its chunks and its index ([`cipher`]). Wrapped by the keys of
//! `encryptionKeyFile` ([`keys`]) it lies in the manifest: a key is rotated without a chunk being written again.

mod aead;
mod age_key;
pub mod cipher;
pub mod context;
pub mod error;
#[cfg(test)]
mod fixture;
mod key;
pub mod key_file;
pub mod key_id;
pub mod keys;
pub mod secret;
mod shared_key;
