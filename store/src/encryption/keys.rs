//! The keys of `encryptionKeyFile`.

use std::fmt;

use super::key::Key;
use super::key_id::KeyId;

/// The first is written with, and so is every recipient, which can do nothing else. All that can read are read with.
pub struct EncryptionKeys {
    first: Key,
    others: Vec<Key>,
}

impl EncryptionKeys {
    /// None if there is no key.
    pub(super) fn new(keys: impl IntoIterator<Item = Key>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Self { first: keys.next()?, others: keys.collect() })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Those that are written with.
    pub(super) fn writers(&self) -> impl Iterator<Item = &Key> {
        let recipients = self.others.iter().filter(|key| matches!(key, Key::Recipient(_)));
        std::iter::once(&self.first).chain(recipients.filter(|key| key.id() != self.first.id()))
    }

    pub(super) fn of(&self, id: &KeyId) -> impl Iterator<Item = &Key> {
        self.all().filter(move |key| key.id() == id)
    }

    /// Their ids, for people.
    pub(super) fn ids(&self) -> String {
        listed(self.all().map(Key::id))
    }
}

/// Ids in a message.
pub(super) fn listed<'a>(ids: impl Iterator<Item = &'a KeyId>) -> String {
    ids.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Keys are shown nowhere, only by which names they go.
impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKeys({})", self.ids())
    }
}
