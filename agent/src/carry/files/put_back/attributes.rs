//! Gives a thing in a file system the attributes that it had.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::carry::files::list::{Attributes, Name};

/// Owner first, since to change it clears the set-id bits of the mode and a capability; times last, since all else touches them.
///
/// # Errors
/// The owner, the mode or a time cannot be set. An extended attribute that cannot is told only: few programs look.
pub fn apply(path: &Path, wanted: &Attributes) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    if (meta.uid(), meta.gid()) != (wanted.uid, wanted.gid) {
        lchown(path, Some(wanted.uid), Some(wanted.gid))?;
    }
    if !meta.is_symlink() {
        fs::set_permissions(path, Permissions::from_mode(wanted.mode))?;
    }
    if let Err(error) = extended(path, &wanted.extended) {
        tracing::warn!("{} does not get its extended attributes back: {error}", path.display());
    }
    let [accessed, modified] = [wanted.accessed, wanted.modified].map(|(s, ns)| TimeSpec::new(s, ns));
    Ok(utimensat(AT_FDCWD, path, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?)
}

fn extended(path: &Path, wanted: &[(Name, Name)]) -> io::Result<()> {
    // A file system without them has none to remove.
    let there = xattr::list(path).into_iter().flatten();
    let too_much =
        |name: &std::ffi::OsString| name != "security.selinux" && !wanted.iter().any(|(w, _)| w.0 == *name);
    there.filter(too_much).try_for_each(|name| xattr::remove(path, name))?;
    wanted.iter().try_for_each(|(name, value)| xattr::set(path, &name.0, value.0.as_encoded_bytes()))
}
