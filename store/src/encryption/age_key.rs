//! Keys as `age-keygen` makes them: a recipient, for which anybody can write, and the identity that reads it.
//!
//! What is written is not a file of age's, but HPKE (RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305), since that binds a message to
//! its place. It proves nothing of who wrote it: a recipient is no secret.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use super::context::Context;
use super::error::EncryptionError;
use super::key_id::KeyId;

type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

const RECIPIENT: Hrp = Hrp::parse_unchecked("age");
const IDENTITY: Hrp = Hrp::parse_unchecked("age-secret-key-");

/// Nothing else is encrypted for an age key in this way (HPKE's `info`).
const PURPOSE: &[u8] = b"crik 2026-11-27 generation's secret for an age recipient v1";

/// How long what X25519 gives beside the sealed text is (RFC 9180, 7.1).
const ENCAPSULATED_BYTES: usize = 32;

/// Writes.
pub(super) struct Recipient {
    public: Public,
    pub(super) id: KeyId,
}

/// Reads what was written for its recipient.
pub(super) struct Identity {
    private: Private,
    pub(super) recipient: Recipient,
}

impl Recipient {
    /// Reads `age1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Public::from_bytes(&decoded(RECIPIENT, text)?).ok().map(Self::new)
    }

    fn new(public: Public) -> Self {
        let text = bech32::encode::<Bech32>(RECIPIENT, &public.to_bytes()).unwrap_or_default();
        Self { public, id: KeyId::of_recipient(&text) }
    }

    pub(super) fn wrap(&self, secret: &[u8], context: &Context<'_>) -> Result<Vec<u8>, EncryptionError> {
        // It panics where there are no random numbers, without which there would be no secret.
        let sealed = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &self.public,
            PURPOSE,
            secret,
            &context.bytes(),
        );
        let (encapsulated, sealed) = sealed.map_err(|_| EncryptionError::NoRecipient(self.id.clone()))?;
        Ok([&encapsulated.to_bytes()[..], &sealed].concat())
    }
}

impl Identity {
    /// Reads `AGE-SECRET-KEY-1…`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let private = Private::from_bytes(&decoded(IDENTITY, text)?).ok()?;
        Some(Self { recipient: Recipient::new(X25519HkdfSha256::sk_to_pk(&private)), private })
    }

    pub(super) fn unwrap(&self, wrapped: &[u8], context: &Context<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let (encapsulated, sealed) = wrapped.split_at_checked(ENCAPSULATED_BYTES)?;
        let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &Encapsulated::from_bytes(encapsulated).ok()?,
            PURPOSE,
            sealed,
            &context.bytes(),
        );
        opened.ok().map(Zeroizing::new)
    }
}

/// What a key says in Bech32 (BIP 173), which finds mistyped letters.
fn decoded(kind: Hrp, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let read = CheckedHrpstring::new::<Bech32>(text).ok().filter(|read| read.hrp() == kind)?;
    Some(Zeroizing::new(read.byte_iter().collect()))
}
