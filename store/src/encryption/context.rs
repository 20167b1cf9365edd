//! Where something belongs: what is sealed for one place does not open at another.

/// The generation that a secret or an index is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// What tells its image directory from all others.
    pub image_dir: &'a [u8],
    /// Its number there.
    pub generation: u64,
}

impl Context<'_> {
    /// As associated data has it: always as long, so that no two places read the same.
    pub(super) fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..32].copy_from_slice(&place(self.image_dir));
        bytes[32..].copy_from_slice(&self.generation.to_le_bytes());
        bytes
    }
}

/// An image directory in associated data.
pub(super) fn place(image_dir: &[u8]) -> [u8; 32] {
    *blake3::hash(image_dir).as_bytes()
}
