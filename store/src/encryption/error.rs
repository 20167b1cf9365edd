//! Why something cannot be encrypted, or read again.

use thiserror::Error;

use super::key_id::KeyId;
use crate::base::retry::{HasOutlook, Outlook};

/// Why a generation's secret cannot be had.
#[derive(Debug, Error)]
pub enum EncryptionError {
    /// None of its keys is here.
    #[error(
        "it was encrypted for {theirs}, and encryptionKeyFile has {ours}; after a rotation keep the old key there, below the new one"
    )]
    OtherKey {
        /// The keys' ids.
        theirs: String,
        /// Those of this pod's.
        ours: String,
    },
    /// There is no key at all.
    #[error("it is encrypted, and there is no encryptionKeyFile with the key to it")]
    NoKeys,
    /// Only the key that it was encrypted with is here, which does not read.
    #[error(
        "it was encrypted for the recipient {0}, and encryptionKeyFile has only that; who is to resume needs its identity there \
         (AGE-SECRET-KEY-1…)"
    )]
    NoIdentity(KeyId),
    /// It does not open.
    #[error(
        "its secret does not open with the key {0}: it was altered, or is that of another generation or image directory"
    )]
    Forged(KeyId),
    /// It is for nobody.
    #[error("it is encrypted, and its secret is missing")]
    NoSecret,
    /// A recipient is no public key.
    #[error(
        "nothing can be encrypted for the recipient {0}, which is no public key; make another by age-keygen"
    )]
    NoRecipient(KeyId),
    /// The system has no random numbers.
    #[error("there are no random numbers to make a key from: {0}")]
    NoRandomNumbers(getrandom::Error),
}

/// What is read is not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not what was stored there: it was altered, or put there from elsewhere")]
pub struct NotAuthentic;

/// The bytes are there, and the same next time.
impl HasOutlook for EncryptionError {
    fn outlook(&self) -> Outlook {
        Outlook::Lasting
    }
}

impl HasOutlook for NotAuthentic {
    fn outlook(&self) -> Outlook {
        Outlook::Lasting
    }
}
