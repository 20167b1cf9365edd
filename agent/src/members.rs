//! What lies in a generation: nothing may be there that was not committed, since CRIU reads whatever has the right name.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::manifest::{self, Manifest};
use crate::sign;

/// The directory of CRIU's images in a generation.
pub const IMAGES: &str = "criu";

/// The directory of the additional files.
const FILES: &str = "files";

/// What a copy of an additional file must have besides contents. A volume may not keep it: the kubelet gives every file on
/// it another group and mode when the pod has an `fsGroup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Type and mode (inode(7)).
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Where it leads, if it is a symbolic link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Attributes by the path relative to the generation.
pub type Members = BTreeMap<String, Attributes>;

/// Everything below `root`.
///
/// # Errors
/// It cannot be read, or a name is not UTF-8.
pub fn of(root: &Path) -> io::Result<Members> {
    let mut members = Members::new();
    add(root, "", &mut members)?;
    Ok(members)
}

/// The additional files among them, which a manifest tells.
pub fn extra(mut members: Members) -> Members {
    members.retain(|name, _| is_extra(name));
    members
}

fn is_extra(name: &str) -> bool {
    name.strip_prefix(FILES).is_some_and(|rest| rest.starts_with('/'))
}

fn add(directory: &Path, prefix: &str, members: &mut Members) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name =
            name.to_str().ok_or_else(|| io::Error::other(format!("the name of {path:?} is not UTF-8")))?;
        let (meta, name) = (path.symlink_metadata()?, format!("{prefix}{name}"));
        if meta.is_dir() {
            add(&path, &format!("{name}/"), members)?;
        }
        let link = meta.is_symlink().then(|| fs::read_link(&path)).transpose()?;
        let link = link.map(|link| link.to_string_lossy().into_owned());
        members.insert(name, Attributes { mode: meta.mode(), uid: meta.uid(), gid: meta.gid(), link });
    }
    Ok(())
}

/// What is in the generation `root` and was not committed with `manifest`, or is of another kind; the first of it.
///
/// # Errors
/// It cannot be read.
pub fn stranger(root: &Path, manifest: &Manifest) -> io::Result<Option<String>> {
    // It must be the directory itself, not one that a link leads to.
    if !root.symlink_metadata()?.is_dir() {
        return Ok(Some(".".to_owned()));
    }
    let belongs = |name: &str, found: &Attributes| match found.mode & libc::S_IFMT {
        _ if is_extra(name) => is_as_told(name, found, manifest),
        libc::S_IFREG => {
            manifest.files.contains_key(name) || [manifest::FILE_NAME, sign::FILE_NAME].contains(&name)
        }
        libc::S_IFDIR => [IMAGES, FILES].contains(&name),
        _ => false,
    };
    Ok(of(root)?.into_iter().find(|(name, found)| !belongs(name, found)).map(|(name, _)| name))
}

/// Generations of earlier releases do not tell of the additional files other than their contents.
fn is_as_told(name: &str, found: &Attributes, manifest: &Manifest) -> bool {
    let Some(extra) = &manifest.extra else { return true };
    let same =
        |told: &Attributes| told.mode & libc::S_IFMT == found.mode & libc::S_IFMT && told.link == found.link;
    extra.get(name).is_some_and(same)
}
