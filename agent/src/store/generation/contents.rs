//! What lies in a generation: nothing may be there that was not committed, since CRIU reads whatever has the right name.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::watchdog::moved;
use crate::store::image_dir::layout;

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

/// Whether a name is that of an additional file.
pub fn is_extra(name: &str) -> bool {
    name.strip_prefix(layout::FILES).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a name is that of something that is put back before CRIU begins.
pub fn is_put_back(name: &str) -> bool {
    is_extra(name) || [layout::CARRIED_LIST, layout::CARRIED_DATA].contains(&name)
}

fn add(directory: &Path, prefix: &str, members: &mut Members) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        moved();
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
