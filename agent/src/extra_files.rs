//! Copies files that are not part of the container's image into a generation and back, with their owners, modes,
//! times and links.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use thiserror::Error;

/// A path that cannot be copied.
#[derive(Debug, Error)]
#[error("cannot copy {path}: {source}; see additionalPaths")]
pub struct CopyError {
    path: PathBuf,
    source: io::Error,
}

/// Copies each of `paths` to its place below `store`. One that does not exist is passed over, since a program may not
/// have made it yet. Returns those that were copied.
///
/// # Errors
/// A file cannot be read, or the volume not be written.
pub fn save(paths: &[PathBuf], store: &Path) -> Result<Vec<PathBuf>, CopyError> {
    let mut saved = Vec::new();
    for path in paths {
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            tracing::debug!("additional path {} does not exist and is left out", path.display());
            continue;
        }
        copy(path, &below(store, path))?;
        saved.push(path.clone());
    }
    Ok(saved)
}

/// Copies each of `paths` from its place below `store` back to where it was.
///
/// # Errors
/// The container's file system cannot be written there.
pub fn put_back(paths: &[PathBuf], store: &Path) -> Result<(), CopyError> {
    paths.iter().try_for_each(|path| copy(&below(store, path), path))
}

fn below(store: &Path, path: &Path) -> PathBuf {
    store.join(path.strip_prefix("/").unwrap_or(path))
}

fn copy(from: &Path, to: &Path) -> Result<(), CopyError> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent)
        .and_then(|()| copy_any(from, to))
        .map_err(|source| CopyError { path: from.into(), source })
}

fn copy_any(from: &Path, to: &Path) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    let kind = meta.file_type();
    if kind.is_dir() {
        copy_directory(from, to)?;
    } else if kind.is_symlink() {
        remove_if_there(to)?;
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        // Over the old file and not beside it: a file that is itself a mount cannot be replaced by name.
        fs::copy(from, to)?;
    } else {
        let what = if kind.is_socket() { "socket" } else { "device or pipe" };
        tracing::warn!("{} is a {what} and is left out", from.display());
        return Ok(());
    }
    copy_attributes(&meta, to)
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy_any(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Owner first, since to change it clears the set-id bits of the mode; times last, since all else touches them.
fn copy_attributes(meta: &Metadata, to: &Path) -> io::Result<()> {
    lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    if !meta.is_symlink() {
        fs::set_permissions(to, Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    let accessed = TimeSpec::new(meta.atime(), meta.atime_nsec());
    let modified = TimeSpec::new(meta.mtime(), meta.mtime_nsec());
    Ok(utimensat(AT_FDCWD, to, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_times_links_and_empty_directories_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let (source, store) = (dir.path().join("data"), dir.path().join("store"));
        fs::create_dir_all(source.join("empty")).unwrap();
        fs::write(source.join("secret"), "s").unwrap();
        fs::set_permissions(source.join("secret"), Permissions::from_mode(0o4710)).unwrap();
        symlink("secret", source.join("link")).unwrap();
        let then = fs::metadata(source.join("secret")).unwrap();

        let saved = save(&[source.clone(), dir.path().join("missing")], &store).unwrap();
        assert_eq!(saved, std::slice::from_ref(&source));
        fs::remove_dir_all(&source).unwrap();
        put_back(&saved, &store).unwrap();

        let now = fs::metadata(source.join("secret")).unwrap();
        assert_eq!(
            (now.mode(), now.mtime(), now.mtime_nsec()),
            (then.mode(), then.mtime(), then.mtime_nsec())
        );
        assert_eq!(fs::read_link(source.join("link")).unwrap(), Path::new("secret"));
        assert!(source.join("empty").is_dir());
    }
}
