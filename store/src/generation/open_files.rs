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
    /// When its contents were last changed, in nanoseconds since 1970.
    pub modified: i64,
    /// What the tree could do with it.
    pub access: Access,
}

/// What a tree could do with a file that it had open, by the most that any of its descriptors allowed (open(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Only read it.
    Read,
    /// Run it, or a part of it; another release would be another program under the memory of this one.
    Execute,
    /// Only write behind its end, wherever that is; such a file may have any length at a restore.
    Append,
    /// Write anywhere in it.
    Write,
}

/// A file that the tree had open, that has lost its name, and that has another one or is one of NFS's, which keeps what is
/// open under a name of its own. CRIU carries only what has no name at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnnamedFile {
    /// The name under which CRIU opens it, which it has only while CRIU works.
    pub name: PathBuf,
    /// Where it is meanwhile.
    pub kept: Kept,
    /// Type and mode (inode(7)).
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Where a file without a name is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// It is itself in the generation, by one more link, under this name in `links/`: other names lead to it too.
    Linked(String),
    /// A copy of it is in the generation, under this name in `unnamed/`.
    Copied(String),
    /// It has this other name, on a file system to which no link leads from the image directory.
    Named(PathBuf),
}

/// How the kernel ends the name of an open file that has lost it (proc(5)).
pub const DELETED: &str = " (deleted)";

/// How the name of a file begins that NFS had renamed and that is open: CRIU takes the names of NFS itself for lost ones. What follows
/// are the digits of that one (`preload/renamed_by_nfs.rs`).
pub const RENAMED: &str = "crik-open.";

impl UnnamedFile {
    /// Whether its name is one that only a file without a name gets.
    pub fn is_called_right(&self) -> bool {
        let name = self.name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(DELETED) || name.starts_with(RENAMED)
    }
}
