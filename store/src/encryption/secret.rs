//! What the chunks of a generation are sealed and named with, and how it is kept with them: wrapped by the keys of `encryptionKeyFile`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::context::Context;
use super::error::EncryptionError;
use super::key::Key;
use super::key_id::KeyId;
use super::keys::{EncryptionKeys, listed};

/// Makes what tells one secret from another from its data key (BLAKE3, «derive key»).
const ID: &str = "crik 2026-11-27 id of a generation's secret v1";

/// A data key, and the key for names.
type Bytes = Zeroizing<[u8; 64]>;

/// A generation's keys. They are shown nowhere, written only when they are wrapped, and overwritten when they are dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct GenerationSecret {
    data: [u8; 32],
    names: [u8; 32],
}

/// A generation's secret for who has a key, as the manifest tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedSecret {
    /// The key that unwraps it.
    pub key: KeyId,
    /// The secret, encrypted, in base64.
    pub secret: String,
}

impl GenerationSecret {
    /// A new one, for an image directory that has none yet.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<Self, EncryptionError> {
        let mut secret = Self { data: [0; 32], names: [0; 32] };
        fill(&mut secret.data)?;
        fill(&mut secret.names)?;
        Ok(secret)
    }

    /// That of a later generation of the same image directory. It names chunks alike, so that those that are there already are found.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn following(&self) -> Result<Self, EncryptionError> {
        let mut secret = self.clone();
        fill(&mut secret.data)?;
        Ok(secret)
    }

    /// What chunks are named with.
    pub fn name_key(&self) -> &[u8; 32] {
        &self.names
    }

    /// Tells it from other secrets, and nothing more.
    pub fn id(&self) -> u64 {
        let hash = self.key_for(ID);
        hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }

    /// The data key for one purpose (BLAKE3, «derive key»).
    pub(super) fn key_for(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(purpose, &self.data))
    }

    /// Encrypts it for each key that is written with, for this place alone.
    ///
    /// # Errors
    /// The system gives no random numbers, or a recipient is no key.
    pub fn wrap(
        &self,
        keys: &EncryptionKeys,
        context: &Context<'_>,
    ) -> Result<Vec<WrappedSecret>, EncryptionError> {
        let bytes = self.bytes();
        let wrapped = |key: &Key| {
            let secret = BASE64.encode(key.wrap(bytes.as_slice(), context)?);
            Ok(WrappedSecret { key: key.id().clone(), secret })
        };
        keys.writers().map(wrapped).collect()
    }

    /// Reads it with the keys that are here.
    ///
    /// # Errors
    /// None of them reads it, or it is not as it was wrapped for this place.
    pub fn unwrap(
        keys: &EncryptionKeys,
        context: &Context<'_>,
        wrapped: &[WrappedSecret],
    ) -> Result<Self, EncryptionError> {
        let by = |one: &WrappedSecret| {
            let bytes = BASE64.decode(&one.secret).ok()?;
            keys.of(&one.key).find_map(|key| Self::from_bytes(&key.unwrap(&bytes, context)?))
        };
        wrapped.iter().find_map(by).ok_or_else(|| lacking(keys, wrapped))
    }

    fn bytes(&self) -> Bytes {
        let mut bytes = Zeroizing::new([0; 64]);
        bytes[..32].copy_from_slice(&self.data);
        bytes[32..].copy_from_slice(&self.names);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (data, names) = bytes.split_first_chunk()?;
        Some(Self { data: *data, names: names.try_into().ok()? })
    }
}

/// Why none of the keys unwraps it.
fn lacking(keys: &EncryptionKeys, wrapped: &[WrappedSecret]) -> EncryptionError {
    let ids = || wrapped.iter().map(|one| &one.key);
    let reads = |key: &Key| !matches!(key, Key::Recipient(_));
    let forged = ids().find(|id| keys.of(id).any(reads));
    let unread = ids().find(|id| keys.of(id).next().is_some());
    match (forged, unread) {
        _ if wrapped.is_empty() => EncryptionError::NoSecret,
        (Some(id), _) => EncryptionError::Forged(id.clone()),
        (None, Some(id)) => EncryptionError::NoIdentity(id.clone()),
        (None, None) => EncryptionError::OtherKey { theirs: listed(ids()), ours: keys.ids() },
    }
}

fn fill(bytes: &mut [u8; 32]) -> Result<(), EncryptionError> {
    getrandom::fill(bytes).map_err(EncryptionError::NoRandomNumbers)
}

/// It is shown nowhere.
impl fmt::Debug for GenerationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GenerationSecret")
    }
}

#[cfg(test)]
mod tests {
    use bech32::{Bech32, Hrp};
    use proptest::prelude::*;

    use super::*;
    use crate::base::retry::{HasOutlook as _, Outlook};
    use crate::encryption::fixture::{
        EARLIER, HERE, IDENTITY, OTHER_IDENTITY, OTHER_RECIPIENT, OTHER_SHARED, RECIPIENT, SHARED, keys,
        wrapped,
    };

    fn secret() -> GenerationSecret {
        GenerationSecret::generate().unwrap()
    }

    /// What somebody with these keys reads.
    fn read(lines: &[&str], wrapped: &[WrappedSecret]) -> Result<GenerationSecret, EncryptionError> {
        GenerationSecret::unwrap(&keys(lines), &HERE, wrapped)
    }

    #[test]
    fn who_has_the_key_reads_what_was_written_with_it() {
        for (writer, reader) in [(SHARED, SHARED), (IDENTITY, IDENTITY), (RECIPIENT, IDENTITY)] {
            let secret = secret();
            assert_eq!(read(&[reader], &wrapped(&secret, &[writer])).unwrap(), secret);
        }
    }

    #[test]
    fn what_earlier_releases_wrote_is_read() {
        let secret = GenerationSecret { data: [1; 32], names: [2; 32] };
        let wrapped: [WrappedSecret; 2] = serde_json::from_str(EARLIER).unwrap();
        for (line, one) in [SHARED, IDENTITY].into_iter().zip(&wrapped) {
            assert_eq!(read(&[line], std::slice::from_ref(one)).unwrap(), secret);
        }
    }

    #[test]
    fn a_key_can_be_rotated() {
        for (old, new) in [(SHARED, OTHER_SHARED), (SHARED, IDENTITY), (IDENTITY, SHARED)] {
            let secret = secret();
            let before = wrapped(&secret, &[old]);
            let meanwhile = wrapped(&secret, &[new, old]);
            assert_eq!(read(&[new, old], &before).unwrap(), secret);
            assert_eq!(read(&[new], &meanwhile).unwrap(), secret);
            // The old one may be known to somebody.
            assert!(matches!(read(&[old], &meanwhile), Err(EncryptionError::OtherKey { .. })));
            let error = read(&[new], &before).unwrap_err();
            let (theirs, ours) = (keys(&[old]).ids(), keys(&[new]).ids());
            let expected = format!(
                "it was encrypted for {theirs}, and encryptionKeyFile has {ours}; after a rotation keep"
            );
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert_eq!((error.outlook(), error.is_of_the_volume()), (Outlook::Lasting, false));
        }
    }

    #[test]
    fn a_recipient_writes_and_does_not_read() {
        let secret = secret();
        let wrapped = wrapped(&secret, &[RECIPIENT]);
        for lines in [&[RECIPIENT][..], &[SHARED, OTHER_IDENTITY, RECIPIENT]] {
            let said = read(lines, &wrapped).unwrap_err().to_string();
            assert!(
                said.contains("for the recipient age16a0a9h9c") && said.contains("needs its identity"),
                "{said}"
            );
        }
        assert_eq!(read(&[SHARED, RECIPIENT, IDENTITY], &wrapped).unwrap(), secret);
    }

    #[test]
    fn each_recipient_is_written_for_once_whatever_comes_first() {
        let for_whom = |lines: &[&str]| listed(wrapped(&secret(), lines).iter().map(|one| &one.key));
        let [shared, one, other] = [SHARED, RECIPIENT, OTHER_RECIPIENT].map(|line| keys(&[line]).ids());
        assert_eq!(for_whom(&[SHARED, RECIPIENT, OTHER_RECIPIENT]), format!("{shared}, {one}, {other}"));
        assert_eq!(for_whom(&[IDENTITY, SHARED, RECIPIENT, OTHER_RECIPIENT]), format!("{one}, {other}"));
        assert_eq!(for_whom(&[RECIPIENT, OTHER_IDENTITY]), one);
    }

    #[test]
    fn a_secret_belongs_to_one_generation_of_one_image_directory() {
        for line in [SHARED, IDENTITY] {
            let wrapped = wrapped(&secret(), &[line]);
            let at = |image_dir, generation| Context { image_dir, generation };
            for elsewhere in
                [at(HERE.image_dir, HERE.generation + 1), at(b"/checkpoints/job-1", HERE.generation)]
            {
                let error = GenerationSecret::unwrap(&keys(&[line]), &elsewhere, &wrapped).unwrap_err();
                assert!(
                    error.to_string().contains("that of another generation or image directory"),
                    "{error}"
                );
            }
        }
    }

    proptest! {
        // Each takes an exchange of keys, which is slow where nothing is optimised.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn an_altered_secret_is_refused(at in any::<prop::sample::Index>(), bit in 0..8, kind in 0..2_usize) {
            let line = [SHARED, IDENTITY][kind];
            let mut wrapped = wrapped(&secret(), &[line]);
            let whole = BASE64.decode(&wrapped[0].secret).unwrap();
            let (mut altered, at) = (whole.clone(), at.index(whole.len()));
            altered[at] ^= 1_u8 << bit;
            for wrong in [&altered, &whole[..at], &whole[at + 1..]] {
                wrapped[0].secret = BASE64.encode(wrong);
                prop_assert!(matches!(read(&[line], &wrapped), Err(EncryptionError::Forged(_))));
            }
            wrapped[0].secret = "no base64".to_owned();
            prop_assert!(matches!(read(&[line], &wrapped), Err(EncryptionError::Forged(_))));
        }
    }

    #[test]
    fn a_secret_for_nobody_is_told() {
        assert!(matches!(read(&[SHARED], &[]), Err(EncryptionError::NoSecret)));
    }

    #[test]
    fn what_another_wrote_over_one_key_does_not_hide_the_others() {
        let secret = secret();
        let mut wrapped = wrapped(&secret, &[SHARED, RECIPIENT]);
        wrapped[0].secret = "AAAA".to_owned();
        assert_eq!(read(&[SHARED, IDENTITY], &wrapped).unwrap(), secret);
    }

    #[test]
    fn later_generations_name_chunks_alike_and_seal_them_otherwise() {
        let first = secret();
        let later = first.following().unwrap();
        assert_eq!(first.name_key(), later.name_key());
        assert_ne!(first.key_for("chunks").as_slice(), later.key_for("chunks").as_slice());
        assert_ne!(first.name_key(), secret().name_key());
    }

    #[test]
    fn a_secret_is_shown_nowhere_and_overwritten_when_it_is_dropped() {
        fn overwritten<T: ZeroizeOnDrop>(_: &T) {}
        let secret = secret();
        overwritten(&secret);
        assert_eq!(format!("{secret:?}"), "GenerationSecret");
        let json = serde_json::to_string(&wrapped(&secret, &[SHARED, RECIPIENT])).unwrap();
        for key in [secret.data, secret.names] {
            assert!(!json.contains(&BASE64.encode(key)[..40]), "{json}");
        }
        assert!(!json.contains(SHARED));
    }

    #[test]
    fn a_recipient_that_is_no_public_key_is_told() {
        let zero = bech32::encode::<Bech32>(Hrp::parse_unchecked("age"), &[0; 32]).unwrap();
        let error = secret().wrap(&keys(&[&zero]), &HERE).unwrap_err();
        assert!(
            error.to_string().starts_with("nothing can be encrypted for the recipient age1qqqqqqqq"),
            "{error}"
        );
    }
}
