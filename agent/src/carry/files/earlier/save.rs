//! Saves files into a generation as earlier releases did, for tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::copy::{CopyError, at, below, copy};
use crate::base::headway::Headway;

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
        let copied = fs::create_dir_all(to.parent().unwrap_or(&to))
            .and_then(|()| copy(path, &to, &|_| None, &Headway::default()));
        copied.map_err(at(path))?;
        saved.push(path.clone());
    }
    Ok(saved)
}
