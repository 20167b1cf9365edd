//! The secrets of a generation that is encrypted: its own, and those of earlier ones whose chunks it has.

use std::path::{Path, PathBuf};

use crate::chunks::index::{Index, SecretId};
use crate::chunks::name::NameKey;
use crate::chunks::read::Ciphers;
use crate::encryption::cipher::{ChunkCipher, IndexCipher};
use crate::encryption::context::Context;
use crate::encryption::error::EncryptionError;
use crate::encryption::keys::EncryptionKeys;
use crate::encryption::secret::GenerationSecret;
use crate::generation::manifest::Manifest;
use crate::generation::stream_facts::SecretFacts;
use crate::image_dir::Generation;

/// How the index is called where it is sealed.
const INDEX_PART: &str = "index";

/// The secrets of one generation, its own first; none if it is not encrypted.
#[derive(Clone, Default)]
pub struct Secrets(Vec<GenerationSecret>);

impl Secrets {
    /// Those that a manifest tells, as far as these keys read them.
    ///
    /// # Errors
    /// They do not read one, or there are none.
    pub fn of(manifest: &Manifest, keys: Option<&EncryptionKeys>) -> Result<Self, EncryptionError> {
        let told = manifest.streams.iter().flat_map(|streams| &streams.secrets);
        let place = place(manifest);
        let read = |secret: &SecretFacts| match keys {
            None => Err(EncryptionError::NoKeys),
            Some(keys) => {
                GenerationSecret::unwrap(keys, &context(&place, manifest.generation), &secret.wrapped)
            }
        };
        told.map(read).collect::<Result<_, _>>().map(Self)
    }

    /// A new one, which names chunks as these do.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn following(&self) -> Result<Self, EncryptionError> {
        let own = self.0.first().map_or_else(GenerationSecret::generate, GenerationSecret::following)?;
        Ok(Self(vec![own]))
    }

    /// The generation's own.
    pub fn own(&self) -> Option<&GenerationSecret> {
        self.0.first()
    }

    /// Takes those of others along, each once: generations have most of them from each other.
    pub fn extend(&mut self, others: Self) {
        for other in others.0 {
            if self.0.iter().all(|one| one.id() != other.id()) {
                self.0.push(other);
            }
        }
    }

    /// What names chunks.
    pub fn name_key(&self) -> Option<NameKey> {
        self.own().map(|own| NameKey::new(*own.name_key()))
    }

    /// What seals and opens chunks of the image directory that is told so.
    pub fn ciphers(&self, image_dir: &[u8]) -> Ciphers {
        self.0.iter().map(|secret| (SecretId(secret.id()), ChunkCipher::new(secret, image_dir))).collect()
    }

    /// Those that an index needs and the generation's own, for the manifest of this generation.
    ///
    /// # Errors
    /// The system gives no random numbers, or a recipient is no key.
    pub fn wrapped(
        &self,
        index: &Index,
        keys: &EncryptionKeys,
        (image_dir, generation): (&[u8], Generation),
    ) -> Result<Vec<SecretFacts>, EncryptionError> {
        let needed = |secret: &GenerationSecret| {
            let id = Some(SecretId(secret.id()));
            index.packs.iter().any(|pack| pack.secret == id)
        };
        let first = self.0.iter().take(1);
        let others = self.0.iter().skip(1).filter(|secret| needed(secret));
        let wrapped = |secret: &GenerationSecret| {
            let wrapped = secret.wrap(keys, &context(image_dir, generation))?;
            Ok(SecretFacts { id: SecretId(secret.id()), wrapped })
        };
        first.chain(others).map(wrapped).collect()
    }

    /// An index as it is written.
    pub fn seal(&self, index: Vec<u8>, (image_dir, generation): (&[u8], Generation)) -> Vec<u8> {
        let Some(own) = self.own() else { return index };
        let mut sealed = Vec::with_capacity(index.len());
        IndexCipher::new(own, &context(image_dir, generation)).seal(INDEX_PART, &index, &mut sealed);
        sealed
    }

    /// An index as it was before that. None if it is not what was sealed.
    pub fn open(&self, sealed: Vec<u8>, manifest: &Manifest) -> Option<Vec<u8>> {
        let Some(own) = self.own() else { return Some(sealed) };
        let mut index = Vec::with_capacity(sealed.len());
        let cipher = IndexCipher::new(own, &context(&place(manifest), manifest.generation));
        cipher.open(INDEX_PART, &sealed, &mut index).ok().map(|()| index)
    }
}

/// The image directory that a generation was made for, as what it is sealed with is bound to it.
pub fn place(manifest: &Manifest) -> Vec<u8> {
    manifest.image_dir.as_deref().map_or_else(Vec::new, place_of)
}

/// The same of a directory.
pub fn place_of(image_dir: &Path) -> Vec<u8> {
    // As paths are compared: without what changes nothing, such as a slash at the end.
    image_dir.components().collect::<PathBuf>().as_os_str().as_encoded_bytes().to_vec()
}

fn context(image_dir: &[u8], generation: Generation) -> Context<'_> {
    Context { image_dir, generation: generation.0 }
}
