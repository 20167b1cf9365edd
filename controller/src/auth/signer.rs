//! One who signs tokens as the API server does, for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _,
};
use serde_json::{Value, json};

/// A key.
pub struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    algorithm: &'static str,
    curve: &'static str,
}

impl Signer {
    /// One of P-256.
    pub fn new() -> Self {
        Self::by(&ECDSA_P256_SHA256_FIXED_SIGNING, "ES256", "P-256")
    }

    /// One of P-384.
    pub fn p384() -> Self {
        Self::by(&ECDSA_P384_SHA384_FIXED_SIGNING, "ES384", "P-384")
    }

    fn by(way: &'static EcdsaSigningAlgorithm, algorithm: &'static str, curve: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(way, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(way, document.as_ref(), &random).unwrap();
        Self { pair, random, algorithm, curve }
    }

    /// As it is published.
    pub fn key(&self, kid: &str) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(self.pair.public_key().as_ref().len() / 2);
        json!({"kty": "EC", "use": "sig", "alg": self.algorithm, "crv": self.curve, "kid": kid,
               "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    /// A token of no claims with this header.
    pub fn token(&self, header: &str) -> String {
        self.token_of(header, "{}")
    }

    /// A token of these claims.
    pub fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
