//! What the manifest says of the files that the tree had open and whose contents the generation does not hold.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A file of a volume that the tree had open by a name. CRIU opens it again by that name, and wants it to be as long as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeFile {
    /// Its name in the container.
    pub path: PathBuf,
    /// Its length at the checkpoint, in bytes.
    pub size: u64,
    /// What the tree could do with it.
    pub access: Access,
}

/// What a tree could do with a file that it had open, by the most that any of its descriptors allowed (open(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Only read it.
    Read,
    /// Only write behind its end, wherever that is; such a file may have any length at a restore.
    Append,
    /// Write anywhere in it.
    Write,
}
