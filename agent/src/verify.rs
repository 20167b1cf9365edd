//! Verifies that a generation is whole and can run here, before anything of it runs or overwrites a file.

use std::io;
use std::path::Path;

use thiserror::Error;

use crate::digest;
use crate::identity::Identity;
use crate::image_dir::Generation;
use crate::manifest::{FileFacts, Manifest, ManifestError};

/// Why a generation cannot be resumed. Completes «generation N is skipped: …».
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The manifest is not usable.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It was made for something else than this container.
    #[error("{0}")]
    Obstacle(String),
    /// A file cannot be read.
    #[error("its file {name} cannot be read: {source}")]
    Read {
        /// The file.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// A file has another size than when it was committed.
    #[error("its file {name} has {found} bytes where {expected} were committed")]
    Size {
        /// The file.
        name: String,
        /// The size now.
        found: u64,
        /// The size at the commit.
        expected: u64,
    },
    /// A file has other contents than when it was committed.
    #[error("its file {name} was altered after the commit (BLAKE3 differs)")]
    Altered {
        /// The file.
        name: String,
    },
}

/// Reads the manifest of the generation in `path`, and compares machine, command and the sizes of all files.
///
/// # Errors
/// Whatever speaks against resuming it.
pub fn facts(path: &Path, generation: Generation, here: &Identity) -> Result<Manifest, VerifyError> {
    let manifest = Manifest::read(path, generation)?;
    if let Some(obstacle) = manifest.identity.obstacle(here) {
        return Err(VerifyError::Obstacle(obstacle));
    }
    sizes(path, &manifest)?;
    Ok(manifest)
}

fn sizes(path: &Path, manifest: &Manifest) -> Result<(), VerifyError> {
    for (name, expected) in &manifest.files {
        let found = path.join(name).symlink_metadata().map_err(|source| read(name, source))?.len();
        if found != expected.size {
            return Err(VerifyError::Size { name: name.clone(), found, expected: expected.size });
        }
    }
    Ok(())
}

/// Compares sizes and hashes of all files, for a person who wants to know; `done` is told of bytes as they are read.
///
/// # Errors
/// A file was altered or cannot be read.
pub fn whole(path: &Path, manifest: &Manifest, done: &dyn Fn(u64)) -> Result<(), VerifyError> {
    sizes(path, manifest)?;
    compare(path, manifest, |_| true, &|file| digest::hash_with_progress(file, done))
}

/// Compares the hashes of the files that are put back into the container, which happens before CRIU begins.
///
/// # Errors
/// A file was altered or cannot be read.
pub fn extra_files(path: &Path, manifest: &Manifest) -> Result<(), VerifyError> {
    compare(path, manifest, is_extra, &digest::hash_file)
}

/// Compares the hashes of CRIU's images. Takes about as long as CRIU takes to read them.
///
/// # Errors
/// A file was altered or cannot be read.
pub fn images(path: &Path, manifest: &Manifest) -> Result<(), VerifyError> {
    compare(path, manifest, |name| !is_extra(name), &digest::hash_file)
}

fn is_extra(name: &str) -> bool {
    name.starts_with("files/")
}

fn compare(
    path: &Path,
    manifest: &Manifest,
    which: impl Fn(&str) -> bool,
    hash: &dyn Fn(&Path) -> io::Result<FileFacts>,
) -> Result<(), VerifyError> {
    for (name, expected) in manifest.files.iter().filter(|(name, _)| which(name)) {
        let found = hash(&path.join(name)).map_err(|source| read(name, source))?;
        if found != *expected {
            return Err(VerifyError::Altered { name: name.clone() });
        }
    }
    Ok(())
}

fn read(name: &str, source: io::Error) -> VerifyError {
    VerifyError::Read { name: name.to_owned(), source }
}
