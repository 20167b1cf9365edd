//! Copies files that are not part of the container's image into a generation and back, with their owners, modes,
//! times and links.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use thiserror::Error;

use crate::beneath;
use crate::members::{Attributes, Members};

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
        let to = below(store, path);
        let copied = fs::create_dir_all(to.parent().unwrap_or(&to)).and_then(|()| copy(path, &to, None));
        copied.map_err(at(path))?;
        saved.push(path.clone());
    }
    Ok(saved)
}

/// Copies each of `paths` from its place below `store` back to where it was, with the attributes that `told` has of it.
///
/// The links of the container itself are followed on the way to a path, such as `/var/run`, and no link that is put back
/// here: a volume that somebody else has written must not say where in the container it is written to.
///
/// # Errors
/// The container's file system cannot be written there.
pub fn put_back(paths: &[PathBuf], store: &Path, told: Option<&Members>) -> Result<(), CopyError> {
    let targets: Vec<Target> = paths.iter().map(|path| Target::now(path)).collect();
    for (path, target) in paths.iter().zip(targets) {
        let from = below(store, path);
        let told = told.map(|members| Told { members, generation: store.parent().unwrap_or(store) });
        beneath::directory(
            store,
            from.parent().and_then(|parent| parent.strip_prefix(store).ok()).unwrap_or(Path::new("")),
        )
        .and_then(|_| target.make())
        .and_then(|to| copy(&from, &to, told))
        .map_err(at(path))?;
    }
    Ok(())
}

/// Where a path leads before anything is put back.
struct Target {
    /// The part that is there, without links.
    there: PathBuf,
    /// The rest, which is made.
    missing: Vec<OsString>,
}

impl Target {
    fn now(path: &Path) -> Self {
        let mut missing: Vec<OsString> = path.file_name().map(OsStr::to_owned).into_iter().collect();
        let mut there = path.parent().unwrap_or(path);
        loop {
            match (there.canonicalize(), there.file_name(), there.parent()) {
                (Err(_), Some(name), Some(parent)) => {
                    missing.insert(0, name.to_owned());
                    there = parent;
                }
                (found, ..) => {
                    let there = found.unwrap_or_else(|_| there.to_owned());
                    return Self { there, missing };
                }
            }
        }
    }

    /// Makes the directories that lead there.
    fn make(self) -> io::Result<PathBuf> {
        let mut path = self.there;
        let (last, directories) = self.missing.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        for name in directories {
            path.push(name);
            make_directory(&path)?;
        }
        Ok(path.join(last))
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => {
            Err(io::Error::other(format!("{} is a link or a file where a directory was", path.display())))
        }
        Err(_) => fs::create_dir(path),
    }
}

/// What the manifest tells of the copies.
#[derive(Clone, Copy)]
struct Told<'a> {
    members: &'a Members,
    generation: &'a Path,
}

impl Told<'_> {
    fn of(self, from: &Path) -> Option<Attributes> {
        self.members.get(from.strip_prefix(self.generation).ok()?.to_str()?).cloned()
    }
}

fn below(store: &Path, path: &Path) -> PathBuf {
    store.join(path.strip_prefix("/").unwrap_or(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> CopyError {
    move |source| CopyError { path: path.into(), source }
}

fn copy(from: &Path, to: &Path, told: Option<Told<'_>>) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    let kind = meta.file_type();
    // What is there may lead elsewhere.
    if to.is_symlink() {
        fs::remove_file(to)?;
    }
    if kind.is_dir() {
        copy_directory(from, to, told)?;
    } else if kind.is_symlink() {
        remove_if_there(to)?;
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        // Over the old file and not beside it: a file that is itself a mount cannot be replaced by name.
        io::copy(&mut beneath::open_file(from)?, &mut File::create(to)?)?;
    } else {
        let what = if kind.is_socket() { "socket" } else { "device or pipe" };
        tracing::warn!("{} is a {what} and is left out", from.display());
        return Ok(());
    }
    copy_attributes(&meta, told.and_then(|told| told.of(from)), to)
}

fn copy_directory(from: &Path, to: &Path, told: Option<Told<'_>>) -> io::Result<()> {
    make_directory(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy(&from.join(&name), &to.join(&name), told)?;
    }
    Ok(())
}

/// Owner first, since to change it clears the set-id bits of the mode; times last, since all else touches them.
fn copy_attributes(meta: &Metadata, told: Option<Attributes>, to: &Path) -> io::Result<()> {
    let (mode, uid, gid) =
        told.map_or_else(|| (meta.mode(), meta.uid(), meta.gid()), |told| (told.mode, told.uid, told.gid));
    lchown(to, Some(uid), Some(gid))?;
    if !meta.is_symlink() {
        fs::set_permissions(to, Permissions::from_mode(mode & 0o7777))?;
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
    use crate::members;

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
        put_back(&saved, &store, None).unwrap();

        let now = fs::metadata(source.join("secret")).unwrap();
        assert_eq!(
            (now.mode(), now.mtime(), now.mtime_nsec()),
            (then.mode(), then.mtime(), then.mtime_nsec())
        );
        assert_eq!(fs::read_link(source.join("link")).unwrap(), Path::new("secret"));
        assert!(source.join("empty").is_dir());
    }

    #[test]
    fn what_the_manifest_tells_counts_and_not_what_the_volume_has_made_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (source, store) = (dir.path().join("data"), dir.path().join("files"));
        fs::write(&source, "s").unwrap();
        fs::set_permissions(&source, Permissions::from_mode(0o640)).unwrap();
        let saved = save(std::slice::from_ref(&source), &store).unwrap();
        let told = members::extra(members::of(dir.path()).unwrap());
        // As the kubelet does for an fsGroup.
        fs::set_permissions(below(&store, &source), Permissions::from_mode(0o666)).unwrap();
        put_back(&saved, &store, Some(&told)).unwrap();
        assert_eq!(fs::metadata(&source).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn no_link_that_is_put_back_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, victim) = (dir.path().join("files"), dir.path().join("victim"));
        let at = |name: &str| dir.path().join("container").join(name);
        fs::create_dir_all(at("")).unwrap();
        fs::create_dir_all(&victim).unwrap();
        fs::write(victim.join("passwd"), "root").unwrap();
        // A directory that was one before, and a file below what has become a link.
        let linked = below(&store, &at("a"));
        fs::create_dir_all(linked.parent().unwrap()).unwrap();
        symlink(&victim, &linked).unwrap();
        assert!(put_back(&[at("a"), at("a/passwd")], &store, None).is_err());
        assert_eq!(fs::read_to_string(victim.join("passwd")).unwrap(), "root");
        // A file over a link that the container has.
        symlink(victim.join("passwd"), at("b")).unwrap();
        fs::write(below(&store, &at("b")), "evil").unwrap();
        put_back(&[at("b")], &store, None).unwrap();
        assert_eq!(fs::read_to_string(victim.join("passwd")).unwrap(), "root");
        assert_eq!(fs::read_to_string(at("b")).unwrap(), "evil");
    }
}
