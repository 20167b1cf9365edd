//! Gives a thing in a file system the attributes that it had.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::carry::files::list::{Attributes, Name};
use crate::carry::files::others::{are_not_ours, is_fixed};

/// Gives `path` what it had. What belongs to somebody else and cannot be changed stays as it is: the program could not change it either.
///
/// # Errors
/// The owner, the mode or a time cannot be set. An extended attribute that cannot is told only: few programs look.
pub fn apply(path: &Path, wanted: &Attributes) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    set(path, &meta, wanted).or_else(|error| if is_fixed(&meta, &error) { Ok(()) } else { Err(error) })
}

/// The same on a volume, which may keep neither owners nor modes nor times, and be right: what cannot be set does not matter then.
///
/// # Errors
/// It is not there, or the volume fails.
pub fn apply_on_volume(path: &Path, wanted: &Attributes) -> io::Result<()> {
    let unkept = |error: &io::Error| {
        [libc::EPERM, libc::EACCES, libc::EINVAL, libc::EOPNOTSUPP, libc::ENOSYS]
            .iter()
            .any(|errno| error.raw_os_error() == Some(*errno))
    };
    match apply(path, wanted) {
        Err(error) if unkept(&error) => {
            tracing::debug!("{} does not get all its attributes back: {error}", path.display());
            Ok(())
        }
        other => other,
    }
}

/// Owner first, since to change it clears the set-id bits of the mode and a capability; times last, since all else touches them.
fn set(path: &Path, meta: &Metadata, wanted: &Attributes) -> io::Result<()> {
    if (meta.uid(), meta.gid()) != (wanted.uid, wanted.gid) {
        give(path, wanted)?;
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

/// Only root can give a file away. One that another container of the pod has made in an emptyDir becomes the program's.
fn give(path: &Path, wanted: &Attributes) -> io::Result<()> {
    match lchown(path, Some(wanted.uid), Some(wanted.gid)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && are_not_ours() => {
            let (user, group) = (wanted.uid, wanted.gid);
            tracing::warn!(
                "{} belonged to user {user} and group {group}, and does not get them back: {error}",
                path.display()
            );
            Ok(())
        }
        other => other,
    }
}

/// As many of them as can be; the first that cannot is told. Access control lists are among them (acl(5)).
fn extended(path: &Path, wanted: &[(Name, Name)]) -> io::Result<()> {
    // A file system without them has none to remove.
    let there = xattr::list(path).into_iter().flatten();
    let too_much =
        |name: &std::ffi::OsString| name != "security.selinux" && !wanted.iter().any(|(w, _)| w.0 == *name);
    let removed = there.filter(too_much).map(|name| xattr::remove(path, name));
    let set = wanted.iter().map(|(name, value)| xattr::set(path, &name.0, value.0.as_encoded_bytes()));
    let outcomes: Vec<io::Result<()>> = removed.chain(set).collect();
    outcomes.into_iter().collect()
}
