//! Signs manifests, so that nobody who can only write to the volume can make a generation that is resumed: an image is a
//! program that runs with all rights of the container.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::limits;

/// Makes the key for this purpose from what the Secret holds (BLAKE3, «derive key»): the same Secret for another purpose
/// makes another key.
const CONTEXT: &str = "crik 2026-11-23 manifest signature v1";

/// A key that signs and verifies. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("signingKeyFile {path}: {source}; mount the Secret there")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It could be guessed.
    #[error(
        "signingKeyFile {path} has {length} bytes, and a key has at least {min}; make one by head -c 32 /dev/urandom | base64",
        min = limits::KEY_MIN_BYTES
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// How many.
        length: usize,
    },
}

impl Key {
    /// Reads the key from a file, without the white space around it.
    ///
    /// # Errors
    /// It cannot be read, or is too short.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limits::KEY_MAX_BYTES).read_to_end(&mut bytes))
            .map_err(|source| KeyError::Read { path: path.into(), source })?;
        let secret = bytes.trim_ascii();
        if secret.len() < limits::KEY_MIN_BYTES {
            return Err(KeyError::Short { path: path.into(), length: secret.len() });
        }
        Ok(Self(blake3::derive_key(CONTEXT, secret)))
    }

    /// The signature of a manifest's bytes, as the file holds it.
    pub fn sign(&self, manifest: &[u8]) -> String {
        format!("{}\n", blake3::keyed_hash(&self.0, manifest).to_hex())
    }

    /// True if `signature` is that of `manifest`. Takes equally long for every wrong one.
    pub fn is_signature(&self, signature: &[u8], manifest: &[u8]) -> bool {
        let claimed = blake3::Hash::from_hex(signature.trim_ascii_end());
        claimed.is_ok_and(|claimed| claimed == blake3::keyed_hash(&self.0, manifest))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn key(secret: &str) -> Result<Key, KeyError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), secret).unwrap();
        Key::read(file.path())
    }

    #[test]
    fn only_the_same_key_and_the_same_bytes_match() {
        let [one, other] = ["one", "two"].map(|secret| key(&secret.repeat(16)).unwrap());
        let signature = one.sign(b"manifest");
        assert!(one.is_signature(signature.as_bytes(), b"manifest"));
        assert!(!other.is_signature(signature.as_bytes(), b"manifest"));
        assert!(!one.is_signature(signature.as_bytes(), b"manifesT"));
        assert!(!one.is_signature(b"", b"manifest") && !one.is_signature(b"00", b"manifest"));
        assert_eq!(key(&"one".repeat(16)).unwrap(), key(&format!("{}\n", "one".repeat(16))).unwrap());
    }

    #[test]
    fn a_key_that_is_short_or_missing_is_said_with_its_remedy() {
        let short = key("hunter2\n").unwrap_err().to_string();
        assert!(short.contains("has 7 bytes") && short.contains("/dev/urandom"), "{short}");
        let missing = Key::read(Path::new("/no/key")).unwrap_err().to_string();
        assert!(missing.contains("/no/key") && missing.contains("mount the Secret"), "{missing}");
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", key(&"s".repeat(32)).unwrap()), "Key");
    }
}
