//! What lies in a generation: nothing may be there that was not committed, since CRIU reads whatever has the right name.

use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::watchdog::moved;
use crate::image_dir::layout;

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

/// What something is, as the directory says in which it lies: the volume is asked for no more.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its type (inode(7)); 0 if it is neither a file, a directory nor a symbolic link.
    pub kind: u32,
    /// Where it leads, if it is a symbolic link.
    pub link: Option<String>,
}

/// Attributes by the path relative to the generation.
pub type Members = BTreeMap<String, Attributes>;

/// Everything below `root`, by its path in it.
///
/// # Errors
/// It cannot be read, or a name is not UTF-8.
pub fn of(root: &Path) -> io::Result<BTreeMap<String, Kind>> {
    let mut found = BTreeMap::new();
    add(root, "", &mut found)?;
    Ok(found)
}

/// Whether a name is that of an additional file.
pub fn is_extra(name: &str) -> bool {
    name.strip_prefix(layout::FILES).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a name is that of something that is put back before CRIU begins.
pub fn is_put_back(name: &str) -> bool {
    is_extra(name) || [layout::CARRIED_LIST, layout::CARRIED_DATA].contains(&name)
}

fn add(directory: &Path, prefix: &str, found: &mut BTreeMap<String, Kind>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        moved();
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name =
            name.to_str().ok_or_else(|| io::Error::other(format!("the name of {path:?} is not UTF-8")))?;
        let (kind, name) = (kind(entry.file_type()?), format!("{prefix}{name}"));
        if kind == libc::S_IFDIR {
            add(&path, &format!("{name}/"), found)?;
        }
        let link = (kind == libc::S_IFLNK).then(|| fs::read_link(&path)).transpose()?;
        found.insert(name, Kind { kind, link: link.map(|link| link.to_string_lossy().into_owned()) });
    }
    Ok(())
}

fn kind(kind: FileType) -> u32 {
    let kinds =
        [(kind.is_file(), libc::S_IFREG), (kind.is_dir(), libc::S_IFDIR), (kind.is_symlink(), libc::S_IFLNK)];
    kinds.iter().find(|(is, _)| *is).map_or(0, |(_, kind)| *kind)
}
