//! What the manifest says of the streams of a generation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chunks::codec::Codec;
use crate::chunks::index::SecretId;
use crate::chunks::name::NameKey;
use crate::encryption::secret::WrappedSecret;

/// Of the streams of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamFacts {
    /// What its chunks are named with. None if they are sealed: then it is part of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_key: Option<NameKey>,
    /// What its chunks are sealed with, the generation's own secret first, and those of others whose chunks it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretFacts>,
    /// How many bytes each of the streams has.
    pub sizes: BTreeMap<String, u64>,
    /// How many bytes are kept of them, each chunk counted once.
    pub kept_bytes: u64,
    /// How many were written for it.
    pub new_bytes: u64,
    /// By which codec, at the end.
    pub codec: Codec,
}

/// Of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretFacts {
    /// By which packs refer to it.
    pub id: SecretId,
    /// The secret, for each of the keys that it was written with.
    pub wrapped: Vec<WrappedSecret>,
}

impl StreamFacts {
    /// How many bytes all streams have.
    pub fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }
}
