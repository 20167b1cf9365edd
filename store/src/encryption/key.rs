//! One key of `encryptionKeyFile`, of whatever kind.

use zeroize::Zeroizing;

use super::age_key::{Identity, Recipient};
use super::context::Context;
use super::error::EncryptionError;
use super::key_id::{AGE, KeyId};
use super::shared_key::SharedKey;
use crate::base::limits;

/// How an identity begins, and so do those of other kinds than X25519.
const IDENTITY: &str = "AGE-SECRET-KEY-1";
const ANY_IDENTITY: &str = "AGE-";

pub(super) enum Key {
    Shared(SharedKey),
    Recipient(Recipient),
    Identity(Identity),
}

/// Why a line is no key. It is not shown: it may be all but one letter of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// It could be guessed.
    #[error(
        "has {0} bytes, and a key has at least {min}; make one by head -c 32 /dev/urandom | base64",
        min = limits::KEY_MIN_BYTES
    )]
    Short(usize),
    /// It is a public SSH key, a phrase, or two keys.
    #[error("has white space within it, as no key has; a key is a line of base64, or what age-keygen prints")]
    WhiteSpace,
    /// A letter is missing or mistyped.
    #[error("begins as an age key does, and is none; copy it once more from where age-keygen wrote it")]
    Mistyped,
    /// One of age's other kinds.
    #[error(
        "is an age key of a kind that crik does not know (a plugin's, or post-quantum); make one by age-keygen"
    )]
    OtherKind,
}

impl Key {
    pub(super) fn parse(line: &str) -> Result<Self, NoKey> {
        if let Some(rest) = line.strip_prefix(AGE) {
            let key = Recipient::parse(line).map(Self::Recipient);
            // The last `1` is what parts the kind from the key (BIP 173).
            return key.ok_or(if rest.contains('1') { NoKey::OtherKind } else { NoKey::Mistyped });
        }
        if line.starts_with(ANY_IDENTITY) {
            let key = Identity::parse(line).map(Self::Identity);
            let is_ours = line.starts_with(IDENTITY);
            return key.ok_or(if is_ours { NoKey::Mistyped } else { NoKey::OtherKind });
        }
        match line.len() {
            _ if line.contains(char::is_whitespace) => Err(NoKey::WhiteSpace),
            length if length < limits::KEY_MIN_BYTES => Err(NoKey::Short(length)),
            _ => Ok(Self::Shared(SharedKey::new(line.as_bytes()))),
        }
    }

    pub(super) fn id(&self) -> &KeyId {
        match self {
            Self::Shared(key) => &key.id,
            Self::Recipient(recipient) | Self::Identity(Identity { recipient, .. }) => &recipient.id,
        }
    }

    pub(super) fn wrap(&self, secret: &[u8], context: &Context<'_>) -> Result<Vec<u8>, EncryptionError> {
        match self {
            Self::Shared(key) => key.wrap(secret, context),
            Self::Recipient(recipient) | Self::Identity(Identity { recipient, .. }) => {
                recipient.wrap(secret, context)
            }
        }
    }

    pub(super) fn unwrap(&self, wrapped: &[u8], context: &Context<'_>) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Shared(key) => key.unwrap(wrapped, context),
            Self::Recipient(_) => None,
            Self::Identity(identity) => identity.unwrap(wrapped, context),
        }
    }
}
