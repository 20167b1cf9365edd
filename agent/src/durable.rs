//! Writes that survive a loss of power.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;

use crate::image_dir::{ImageDirError, io_at};

/// Serialises one of our own types, which cannot fail: they have string keys and no cycles.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(value).unwrap_or_default();
    json.push(b'\n');
    json
}

/// Replaces `path` by `contents`, whole or not at all, also over a loss of power: write beside it, fsync, rename,
/// fsync the directory. Mode 0600.
///
/// # Errors
/// The volume cannot be written.
pub fn write_durably(path: &Path, contents: &[u8]) -> Result<(), ImageDirError> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(io_at("create", &partial))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(io_at("write", &partial))?;
    fs::rename(&partial, path).map_err(io_at("replace", path))?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Makes a directory's entries durable (fsync(2): to sync a file does not sync its name).
///
/// # Errors
/// The volume cannot be written.
pub fn sync_directory(path: &Path) -> Result<(), ImageDirError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(io_at("fsync", path))
}

/// Removes a directory and all below it; one that is not there is no error.
///
/// # Errors
/// The volume cannot be written.
pub fn remove_tree(path: &Path) -> Result<(), ImageDirError> {
    ignore_missing(fs::remove_dir_all(path)).map_err(io_at("remove", path))
}

/// Takes what is not there for removed.
///
/// # Errors
/// Any other than that.
pub fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
