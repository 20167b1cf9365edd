//! Keeps the files of a frozen tree that have lost their name with its generation.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crik_store::generation::open_files::{Kept, UnnamedFile};
use crik_store::generation::parts::NewParts;
use crik_store::image_dir::layout;

use super::lost_names::{Lost, LostNames, digits_of_nfs, is_same};
use crate::base::limits;

/// Keeps each of `names` with a generation that is made. Of those whose other names go along by themselves, as
/// `goes_along` says, only that is noted.
///
/// # Errors
/// A file cannot be read or is too large, or the volume not be written.
pub fn keep(
    names: &LostNames,
    parts: &NewParts,
    goes_along: &dyn Fn(&Path) -> bool,
) -> io::Result<Vec<UnnamedFile>> {
    let mut known: BTreeMap<(u64, u64), Kept> = BTreeMap::new();
    let mut kept = Vec::new();
    for file in &names.files {
        let key = (file.meta.dev(), file.meta.ino());
        let place = match known.get(&key) {
            Some(place) => place.clone(),
            None => one(file, parts, known.len(), goes_along)?,
        };
        known.insert(key, place.clone());
        let meta = &file.meta;
        kept.push(UnnamedFile {
            name: file.name.clone(),
            kept: place,
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
        });
    }
    Ok(kept)
}

/// What nobody else can reach is copied as it is at this moment; what has other names must stay one with them.
fn one(file: &Lost, parts: &NewParts, number: usize, goes_along: &dyn Fn(&Path) -> bool) -> io::Result<Kept> {
    let name = number.to_string();
    if file.has_other_names()
        && goes_along(&file.name)
        && let Some(other) = other_name(file)?
    {
        return Ok(Kept::Named(other));
    }
    if !file.has_other_names() || !file.is_on_volume {
        return copy(file, parts, name);
    }
    let links = make_directory(parts.staging().join(layout::LINKS))?;
    match fs::hard_link(&file.name, links.join(&name)) {
        Ok(()) => Ok(Kept::Linked(name)),
        Err(error) if has_no_link(&error) => match other_name(file)? {
            Some(other) => Ok(Kept::Named(other)),
            None => {
                tracing::warn!(
                    "{} has another name that is not found; it is copied, so that they will be two files",
                    file.name.display()
                );
                copy(file, parts, name)
            }
        },
        Err(error) => Err(error),
    }
}

/// The volume is another one than the file's, or one without links (link(2)).
fn has_no_link(error: &io::Error) -> bool {
    [libc::EXDEV, libc::EPERM, libc::EOPNOTSUPP, libc::ENOSYS, libc::EMLINK]
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno))
}

fn copy(file: &Lost, parts: &NewParts, name: String) -> io::Result<Kept> {
    if file.meta.len() > limits::UNNAMED_MAX_BYTES {
        return Err(io::Error::other(format!(
            "{} has no name and {} bytes, more than is carried",
            file.name.display(),
            file.meta.len()
        )));
    }
    let mut target = parts.create(&format!("{}/{name}", layout::UNNAMED))?;
    io::copy(&mut File::open(&file.name)?, &mut target)?;
    target.finish()?;
    Ok(Kept::Copied(name))
}

/// Another name of the file in its directory, where most have it.
fn other_name(file: &Lost) -> io::Result<Option<PathBuf>> {
    let directory = file.name.parent().unwrap_or(&file.name);
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // That one is gone as soon as nobody has the file open.
        if digits_of_nfs(&path).is_some() {
            continue;
        }
        if path != file.name && path.symlink_metadata().is_ok_and(|found| is_same(&found, &file.meta)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn make_directory(path: PathBuf) -> io::Result<PathBuf> {
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(path),
    }
}
