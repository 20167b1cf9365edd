//! What the manifest says of the numbers of files that the tree had open.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a program knows a file that it has open by a name, whatever the kernel calls that now (inode(7)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileNumbers {
    /// Its name in the container.
    pub path: PathBuf,
    /// The device on which it lies.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}
