//! Copies files with their owners, modes, times and links.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use crik_store::backend::no_links;
use crik_store::generation::contents::Attributes;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};

/// A path that cannot be copied.
#[derive(Debug, Error)]
#[error("cannot copy {path}: {source}; see additionalPaths")]
pub struct CopyError {
    /// The path.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

impl HasOutlook for CopyError {
    fn outlook(&self) -> Outlook {
        self.source.outlook()
    }
}

/// Makes a directory, unless it is there.
///
/// # Errors
/// Something else is there, or the file system cannot be written.
pub fn make_directory(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => {
            Err(io::Error::other(format!("{} is a link or a file where a directory was", path.display())))
        }
        Err(_) => fs::create_dir(path),
    }
}

/// The place of `path` below `store`.
pub fn below(store: &Path, path: &Path) -> PathBuf {
    store.join(path.strip_prefix("/").unwrap_or(path))
}

/// Gives an I/O error its path.
pub fn at(path: &Path) -> impl Fn(io::Error) -> CopyError {
    move |source| CopyError { path: path.into(), source }
}

/// What a copy must have besides contents, if that is told and not to be read from the file itself.
pub type Told<'a> = &'a dyn Fn(&Path) -> Option<Attributes>;

/// Copies what is at `from` to `to`, with all below it.
///
/// # Errors
/// It cannot be read, or `to` not be written; or it was given up.
pub fn copy(from: &Path, to: &Path, told: Told<'_>, headway: &Headway) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    let kind = meta.file_type();
    // What is there may lead elsewhere.
    if to.is_symlink() {
        fs::remove_file(to)?;
    }
    if kind.is_dir() {
        copy_directory(from, to, told, headway)?;
    } else if kind.is_symlink() {
        remove_if_there(to)?;
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        // Over the old file and not beside it: a file that is itself a mount cannot be replaced by name.
        copy_contents(&mut no_links::open_file(from)?, &mut File::create(to)?, headway)?;
    } else {
        let what = if kind.is_socket() { "socket" } else { "device or pipe" };
        tracing::warn!("{} is a {what} and is left out", from.display());
        return Ok(());
    }
    copy_attributes(&meta, told(from), to)
}

fn copy_contents(from: &mut impl Read, to: &mut impl Write, headway: &Headway) -> io::Result<()> {
    loop {
        let piece = io::copy(&mut Read::by_ref(from).take(limits::LARGEST_PIECE_BYTES as u64), to)?;
        headway.go_on(piece)?;
        if piece == 0 {
            return Ok(());
        }
    }
}

fn copy_directory(from: &Path, to: &Path, told: Told<'_>, headway: &Headway) -> io::Result<()> {
    make_directory(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy(&from.join(&name), &to.join(&name), told, headway)?;
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
