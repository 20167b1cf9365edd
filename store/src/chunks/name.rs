//! How chunks are named: by what they hold, in a way that tells nothing of it to who lacks the key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};

use crate::base::limits::RANDOM;

/// What an image directory's chunks are named with. Two directories with other keys name the same bytes differently, so that nobody can
/// learn from a name whether a guess at what was in memory is right.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NameKey([u8; 32]);

/// The name of a chunk: a keyed BLAKE3 hash of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkName([u8; 32]);

impl NameKey {
    /// This one.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// One that nobody else has.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn random() -> io::Result<Self> {
        let mut key = [0; 32];
        File::open(RANDOM)?.read_exact(&mut key)?;
        Ok(Self(key))
    }

    /// The name of these bytes.
    pub fn name(&self, chunk: &[u8]) -> ChunkName {
        ChunkName(*blake3::keyed_hash(&self.0, chunk).as_bytes())
    }
}

impl From<NameKey> for String {
    fn from(key: NameKey) -> Self {
        blake3::Hash::from_bytes(key.0).to_hex().to_string()
    }
}

impl TryFrom<String> for NameKey {
    type Error = blake3::HexError;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        blake3::Hash::from_hex(hex).map(|bytes| Self(bytes.into()))
    }
}

/// It is shown nowhere.
impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey")
    }
}

impl ChunkName {
    /// As it is written.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it was written.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_have_the_same_name_under_one_key_and_another_under_another() {
        let [one, other] = [1, 2].map(|byte| NameKey::new([byte; 32]));
        assert_eq!(one.name(b"chunk"), one.name(b"chunk"));
        assert_ne!(one.name(b"chunk"), one.name(b"chunK"));
        assert_ne!(one.name(b"chunk"), other.name(b"chunk"));
    }

    #[test]
    fn a_name_is_written_and_read_and_a_key_is_not_shown() {
        let (key, other) = (NameKey::new([7; 32]), NameKey::random().unwrap());
        let json = serde_json::to_string(&other).unwrap();
        assert_eq!(serde_json::from_str::<NameKey>(&json).unwrap(), other);
        assert!(serde_json::from_str::<NameKey>("\"07\"").is_err());
        let name = key.name(b"chunk");
        assert_eq!(ChunkName::from_bytes(*name.as_bytes()), name);
        assert_eq!(name.to_string().len(), 64);
        assert_eq!(format!("{key:?}"), format!("{other:?}"));
    }
}
