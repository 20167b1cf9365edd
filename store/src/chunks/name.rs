//! How chunks are named: by what they hold, in a way that tells nothing of it to who lacks the key.

use std::fmt;

/// What an image directory's chunks are named with. Two directories with other keys name the same bytes differently, so that nobody can
/// learn from a name whether a guess at what was in memory is right.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey([u8; 32]);

/// The name of a chunk: a keyed BLAKE3 hash of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkName([u8; 32]);

impl NameKey {
    /// This one.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The name of these bytes.
    pub fn name(&self, chunk: &[u8]) -> ChunkName {
        ChunkName(*blake3::keyed_hash(&self.0, chunk).as_bytes())
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
        let (key, other) = (NameKey::new([7; 32]), NameKey::new([8; 32]));
        let name = key.name(b"chunk");
        assert_eq!(ChunkName::from_bytes(*name.as_bytes()), name);
        assert_eq!(name.to_string().len(), 64);
        assert_eq!(format!("{key:?}"), format!("{other:?}"));
    }
}
