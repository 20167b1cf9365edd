//! What generations are kept with.

use std::sync::Arc;

use crate::encryption::keys::EncryptionKeys;
use crate::generation::signature::Keys;

/// The keys to generations.
#[derive(Debug, Clone, Default)]
pub struct GenerationKeys {
    /// Those that vouch for generations, if they are signed.
    pub signing: Option<Keys>,
    /// Those that they are encrypted with, if they are.
    pub encryption: Option<Arc<EncryptionKeys>>,
}
