//! Gives CRIU a place for what it has learned of the kernel, which takes it longer than all else before a small tree is frozen.
//!
//! Unprivileged, CRIU keeps it in `$XDG_RUNTIME_DIR/criu.kdat`, on a tmpfs only, and believes what it finds there, on whatever file system,
//! if it was written by the same build of CRIU (criu/kerndat.c, `kerndat_save_cache` and `kerndat_try_load_cache`). A pod has no such
//! variable, or one that leads to a volume or an emptyDir, where the file could come from another kernel. So the directory is our own,
//! and its name is made from what the contents depend on.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;

use crate::base::limits;

/// What CRIU reads to find the directory.
const VARIABLE: &str = "XDG_RUNTIME_DIR";

/// While CRIU writes the file it has this name, and one that was killed leaves it, so that no other ever writes the file again.
const HALF_WRITTEN: &str = "criu.kdat.tmp";

/// What CRIU calls it.
const FILE: &str = "criu.kdat";

/// Has CRIU, which `command` is about to become, use the directory, and no other.
pub(super) fn hand_on(command: &mut Command) {
    match directory() {
        Some(directory) => command.env(VARIABLE, directory),
        None => command.env_remove(VARIABLE),
    };
}

/// The directory, made if it is not there. None if there is no tmpfs to be written, or somebody else has taken the name.
pub(super) fn directory() -> Option<PathBuf> {
    let name = name().ok()?;
    limits::FEATURE_DIRECTORIES.iter().find_map(|place| made(Path::new(place), &name).ok())
}

/// Removes it. It may be in a place that all containers of the pod share.
pub fn remove() {
    let Ok(name) = name() else { return };
    for place in limits::FEATURE_DIRECTORIES {
        let path = Path::new(place).join(&name);
        if is_ours(&path) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn made(place: &Path, name: &str) -> io::Result<PathBuf> {
    if statfs(place)?.filesystem_type() != TMPFS_MAGIC {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let path = place.join(name);
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !is_ours(&path) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if !path.join(FILE).exists() {
        let _ = fs::remove_file(path.join(HALF_WRITTEN));
    }
    Ok(path)
}

/// Whether nobody else can have put anything there.
fn is_ours(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o077 == 0)
}

/// The kernel and its boot, since device numbers are among it, and the container, whose rights decide what CRIU may try.
fn name() -> io::Result<String> {
    let mut depends = blake3::Hasher::new();
    for path in ["/proc/sys/kernel/random/boot_id", "/proc/version"] {
        depends.update(&fs::read(path)?);
    }
    for path in ["/proc/self/ns/mnt", "/proc/self/ns/user"] {
        depends.update(fs::read_link(path)?.as_os_str().as_encoded_bytes());
    }
    depends.update(&geteuid().as_raw().to_ne_bytes());
    depends.update(env::consts::ARCH.as_bytes());
    Ok(format!("{}{}", limits::FEATURE_DIRECTORY_NAME, &depends.finalize().to_hex()[..16]))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_somebody_else_could_have_filled_is_not_used() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = made(place.path(), "fresh").unwrap();
        assert_eq!(made(place.path(), "fresh").unwrap(), path);
        set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        assert!(made(place.path(), "fresh").is_err());
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        symlink(elsewhere.path(), place.path().join("link")).unwrap();
        assert!(made(place.path(), "link").is_err());
    }

    #[test]
    fn what_was_half_written_keeps_nobody_from_writing_it_again() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = made(place.path(), "cache").unwrap();
        fs::write(path.join(HALF_WRITTEN), "half").unwrap();
        made(place.path(), "cache").unwrap();
        assert!(!path.join(HALF_WRITTEN).exists());
    }

    #[test]
    fn a_disk_is_no_place_for_it() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        assert!(made(place.path(), "cache").is_err());
        assert!(fs::read_dir(place.path()).unwrap().next().is_none());
    }
}
