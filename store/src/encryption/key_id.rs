//! By which a person and a manifest tell a key from others. It is no secret.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an age recipient begins with, and so the id of one.
pub(super) const AGE: &str = "age1";

/// Enough to tell a few keys apart.
const CHARS: usize = 8;

/// The name of a key. That of an age key is the beginning of its recipient, by which a person finds it; that of a secret is eight
/// digits, which tell nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// It is no key's id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("it names no key as crik does")]
pub struct NoKeyId;

impl KeyId {
    /// That of a secret, by a hash of it.
    pub(super) fn of_hash(hash: [u8; 32]) -> Self {
        Self(blake3::Hash::from(hash).to_hex()[..CHARS].to_owned())
    }

    /// That of a recipient, which has at least so many characters.
    pub(super) fn of_recipient(recipient: &str) -> Self {
        Self(recipient.chars().take(AGE.len() + CHARS).collect())
    }
}

/// What somebody else wrote goes into the log only if it can be one.
impl TryFrom<String> for KeyId {
    type Error = NoKeyId;

    fn try_from(text: String) -> Result<Self, NoKeyId> {
        let (name, is_digit): (&str, fn(&u8) -> bool) = match text.strip_prefix(AGE) {
            Some(name) => (name, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            None => (&text, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        };
        let is_id = name.len() == CHARS && name.as_bytes().iter().all(is_digit);
        if is_id { Ok(Self(text)) } else { Err(NoKeyId) }
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_an_id_is_read_as_one() {
        let read = |text: &str| serde_json::from_value::<KeyId>(text.into());
        for id in ["0123abcd", "age16a0a9h9c"] {
            assert_eq!(read(id).unwrap().to_string(), id);
        }
        for other in [
            "",
            "0123abc",
            "0123abcde",
            "0123abcg",
            "0123ABCD",
            "age1",
            "age16a0a9h9",
            "age16a0a9h9\n",
            "\u{fe}123abc",
        ] {
            assert!(read(other).unwrap_err().to_string().contains("names no key"), "{other}");
        }
    }
}
