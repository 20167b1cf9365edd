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

/// The same for the name of a key, which tells nothing of it.
const NAME_CONTEXT: &str = "crik 2026-11-25 name of a signing key v1";

/// A key that signs and verifies. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    secret: [u8; 32],
    /// By which a person and a signature tell it from others.
    name: String,
}

/// The key that signs, and those that are accepted besides: a Secret can be rotated while there are checkpoints of the time before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    own: Key,
    accepted: Vec<Key>,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{setting} {path}: {source}; mount the Secret there")]
    Read {
        /// The configuration's key.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It could be guessed.
    #[error(
        "{setting} {path} has {length} bytes, and a key has at least {min}; make one by head -c 32 /dev/urandom | base64",
        min = limits::KEY_MIN_BYTES
    )]
    Short {
        /// The configuration's key.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// How many.
        length: usize,
    },
}

/// Why a signature is not accepted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// It was made with a key that this pod does not have.
    #[error(
        "it is signed with the key {theirs}, and this pod accepts {ours}; after a rotation put the old one into acceptedKeyFiles"
    )]
    OtherKey {
        /// The key's name.
        theirs: String,
        /// Those of this pod's.
        ours: String,
    },
    /// It is none of these bytes.
    #[error("its signature does not match: it was made with another key, or altered")]
    Forged,
}

impl Keys {
    /// Reads the key that signs, and those that are accepted besides.
    ///
    /// # Errors
    /// One cannot be read, or is too short.
    pub fn read(own: &Path, accepted: &[PathBuf]) -> Result<Self, KeyError> {
        let own = Key::read("signingKeyFile", own)?;
        let accepted = accepted.iter().map(|path| Key::read("acceptedKeyFiles", path));
        Ok(Self { own, accepted: accepted.collect::<Result<_, _>>()? })
    }

    /// The signature of a manifest's bytes, as the file holds it: with the name of the key.
    pub fn sign(&self, manifest: &[u8]) -> String {
        format!("{} {}\n", self.own.hash(manifest).to_hex(), self.own.name)
    }

    /// Whether `signature` is that of `manifest` by one of the keys. Takes equally long for every wrong one.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, signature: &[u8], manifest: &[u8]) -> Result<(), SignatureError> {
        let text = String::from_utf8_lossy(signature);
        let mut words = text.split_ascii_whitespace();
        let claimed = words.next().and_then(|hex| blake3::Hash::from_hex(hex).ok());
        let is_by = |key: &Key| claimed.is_some_and(|claimed| claimed == key.hash(manifest));
        if self.all().any(is_by) {
            return Ok(());
        }
        match words.next().filter(|name| is_name(name) && self.all().all(|key| key.name != **name)) {
            Some(theirs) => Err(SignatureError::OtherKey { theirs: theirs.to_owned(), ours: self.names() }),
            None => Err(SignatureError::Forged),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.own).chain(&self.accepted)
    }

    fn names(&self) -> String {
        self.all().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Key {
    /// Reads the key from a file, without the white space around it.
    fn read(setting: &'static str, path: &Path) -> Result<Self, KeyError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(limits::KEY_MAX_BYTES).read_to_end(&mut bytes))
            .map_err(|source| KeyError::Read { setting, path: path.into(), source })?;
        let secret = bytes.trim_ascii();
        if secret.len() < limits::KEY_MIN_BYTES {
            return Err(KeyError::Short { setting, path: path.into(), length: secret.len() });
        }
        let name =
            blake3::Hash::from(blake3::derive_key(NAME_CONTEXT, secret)).to_hex()[..NAME_CHARS].to_owned();
        Ok(Self { secret: blake3::derive_key(CONTEXT, secret), name })
    }

    fn hash(&self, manifest: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.secret, manifest)
    }
}

/// Enough to tell a few keys apart.
const NAME_CHARS: usize = 8;

/// What somebody else wrote goes into the log only if it can be one.
fn is_name(word: &str) -> bool {
    word.len() == NAME_CHARS && word.bytes().all(|byte| byte.is_ascii_hexdigit())
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

    fn keys(own: &str, accepted: &[&str]) -> Result<Keys, KeyError> {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: String, secret: &str| {
            let path = directory.path().join(name);
            fs::write(&path, secret).unwrap();
            path
        };
        let others: Vec<PathBuf> =
            accepted.iter().enumerate().map(|(n, secret)| file(n.to_string(), secret)).collect();
        Keys::read(&file("own".to_owned(), own), &others)
    }

    #[test]
    fn only_the_same_key_and_the_same_bytes_match() {
        let [one, other] = ["one", "two"].map(|secret| keys(&secret.repeat(16), &[]).unwrap());
        let signature = one.sign(b"manifest");
        assert_eq!(one.verify(signature.as_bytes(), b"manifest"), Ok(()));
        assert_eq!(one.verify(signature.as_bytes(), b"manifesT"), Err(SignatureError::Forged));
        for rubbish in [&b""[..], b"00", b"\xff\xfe", &signature.as_bytes()[9..]] {
            assert_eq!(one.verify(rubbish, b"manifest"), Err(SignatureError::Forged));
        }
        let told = other.verify(signature.as_bytes(), b"manifest").unwrap_err().to_string();
        assert!(
            told.contains(&format!("signed with the key {}", one.own.name))
                && told.contains("acceptedKeyFiles"),
            "{told}"
        );
        assert!(told.contains(&format!("accepts {};", other.own.name)), "{told}");
        assert_eq!(
            keys(&"one".repeat(16), &[]).unwrap(),
            keys(&format!("{}\n", "one".repeat(16)), &[]).unwrap()
        );
    }

    #[test]
    fn a_key_can_be_rotated() {
        let [old, new] = ["old", "new"].map(|secret| secret.repeat(16));
        let before = keys(&old, &[]).unwrap();
        let meanwhile = keys(&new, &[&"x".repeat(32), &old]).unwrap();
        let after = keys(&new, &[]).unwrap();
        let [by_old, by_new] = [before.sign(b"m"), meanwhile.sign(b"m")];
        assert_eq!(meanwhile.verify(by_old.as_bytes(), b"m"), Ok(()));
        assert_eq!(after.verify(by_new.as_bytes(), b"m"), Ok(()));
        assert!(
            after.verify(by_old.as_bytes(), b"m").is_err() && before.verify(by_new.as_bytes(), b"m").is_err()
        );
        // Of a release that wrote no names.
        let (bare, _) = by_old.split_once(' ').unwrap();
        assert_eq!(meanwhile.verify(format!("{bare}\n").as_bytes(), b"m"), Ok(()));
    }

    #[test]
    fn a_key_that_is_short_or_missing_is_said_with_its_remedy() {
        let short = keys("hunter2\n", &[]).unwrap_err().to_string();
        assert!(
            short.contains("signingKeyFile")
                && short.contains("has 7 bytes")
                && short.contains("/dev/urandom"),
            "{short}"
        );
        let short = keys(&"s".repeat(32), &["hunter2"]).unwrap_err().to_string();
        assert!(short.starts_with("acceptedKeyFiles "), "{short}");
        let missing = Key::read("signingKeyFile", Path::new("/no/key")).unwrap_err().to_string();
        assert!(missing.contains("/no/key") && missing.contains("mount the Secret"), "{missing}");
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", keys(&"s".repeat(32), &[]).unwrap()), "Keys { own: Key, accepted: [] }");
    }
}
