//! Verifies that a generation is whole and can run here, before anything of it runs or overwrites a file.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::backend::no_links;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::side_by_side::try_for_each;
use crate::base::watchdog::moved;
use crate::chunks::read::ReadError;
use crate::encryption::error::EncryptionError;
use crate::generation::contents::{self, Attributes, Kind, is_extra, is_put_back};
use crate::generation::digest::{self, Effort, FileDigest};
use crate::generation::identity::Identity;
use crate::generation::manifest::{Manifest, ManifestError};
use crate::generation::open_files::Kept;
use crate::generation::signature::Keys;
use crate::image_dir::{Generation, layout};

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
    /// A file is there that was not committed.
    #[error("it has something that was not committed: {0}; was something put there by hand?")]
    Stranger(String),
    /// It was signed or encrypted for another image directory.
    #[error("it is {how} for the image directory {theirs}, and this is {ours}")]
    OfAnother {
        /// Signed, or encrypted.
        how: &'static str,
        /// The one that it was made for.
        theirs: PathBuf,
        /// The one that it is in.
        ours: PathBuf,
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
    /// It is encrypted, and cannot be read.
    #[error(transparent)]
    Encrypted(#[from] EncryptionError),
    /// A stream is not what was committed.
    #[error(transparent)]
    Stream(#[from] ReadError),
    /// A file has other contents than when it was committed.
    #[error("its file {name} was altered after the commit (BLAKE3 differs)")]
    Altered {
        /// The file.
        name: String,
    },
}

impl HasOutlook for VerifyError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Manifest(error) => error.outlook(),
            Self::Read { source, .. } => source.outlook(),
            Self::Stream(error) => error.outlook(),
            _ => Outlook::Lasting,
        }
    }

    fn is_of_the_volume(&self) -> bool {
        match self {
            Self::Manifest(error) => error.is_of_the_volume(),
            Self::Read { source, .. } => source.is_of_the_volume(),
            Self::Stream(error) => error.is_of_the_volume(),
            _ => false,
        }
    }
}

/// What a generation is measured by.
pub struct Trust<'a> {
    /// The key that it must be signed with, if there is one.
    pub key: Option<&'a Keys>,
    /// The image directory in which it is.
    pub image_dir: &'a Path,
}

/// Reads the manifest of the generation in `path`, and compares machine, command, names and sizes of all files.
///
/// # Errors
/// Whatever speaks against resuming it.
pub fn facts(
    path: &Path,
    generation: Generation,
    here: &Identity,
    trust: &Trust<'_>,
) -> Result<Manifest, VerifyError> {
    let manifest = Manifest::read(path, generation, trust.key)?;
    is_for(&manifest, trust)?;
    if let Some(obstacle) = manifest.identity.obstacle(here) {
        return Err(VerifyError::Obstacle(obstacle));
    }
    names_and_sizes(path, &manifest)?;
    Ok(manifest)
}

/// Compares where the generation in `path` is, and the names and sizes of its files, with what was committed, whatever machine it is for.
///
/// # Errors
/// It is not what was committed.
pub fn belongs(path: &Path, manifest: &Manifest, trust: &Trust<'_>) -> Result<(), VerifyError> {
    is_for(manifest, trust)?;
    names_and_sizes(path, manifest)
}

fn is_for(manifest: &Manifest, trust: &Trust<'_>) -> Result<(), VerifyError> {
    let is_bound = trust.key.is_some() || manifest.is_encrypted();
    let theirs = manifest.image_dir.as_ref().filter(|theirs| is_bound && *theirs != trust.image_dir);
    theirs.map_or(Ok(()), |theirs| {
        let how = if manifest.is_encrypted() { "encrypted" } else { "signed" };
        Err(VerifyError::OfAnother { how, theirs: theirs.clone(), ours: trust.image_dir.into() })
    })
}

fn names_and_sizes(path: &Path, manifest: &Manifest) -> Result<(), VerifyError> {
    if let Some(name) = stranger(path, manifest).map_err(|source| read(".", source))? {
        return Err(VerifyError::Stranger(name));
    }
    let files: Vec<Expected<'_>> = manifest.files.iter().collect();
    try_for_each(&files, |(name, expected)| {
        moved();
        let found = path.join(name).symlink_metadata().map_err(|source| read(name, source))?.len();
        match found == expected.size {
            true => Ok(()),
            false => Err(VerifyError::Size { name: name.to_string(), found, expected: expected.size }),
        }
    })
}

/// A file and what was committed of it.
type Expected<'a> = (&'a String, &'a FileDigest);

/// Compares sizes and hashes of all files; `done` is told of bytes as they are read.
///
/// # Errors
/// A file was altered or cannot be read.
pub fn files(path: &Path, manifest: &Manifest, done: &(dyn Fn(u64) + Sync)) -> Result<(), VerifyError> {
    names_and_sizes(path, manifest)?;
    let done = |bytes| {
        done(bytes);
        Ok(())
    };
    compare(path, manifest, |_| true, (Effort::AllProcessors, &done))
}

/// Compares the hashes of the files that are put back into the container, which happens before CRIU begins.
///
/// # Errors
/// A file was altered or cannot be read; or it was given up.
pub fn extra_files(path: &Path, manifest: &Manifest, headway: &Headway) -> Result<(), VerifyError> {
    compare(path, manifest, is_put_back, (QUIETLY, &|bytes| headway.go_on(bytes)))
}

/// Compares the hashes of CRIU's images. Takes about as long as CRIU takes to read them.
///
/// # Errors
/// A file was altered or cannot be read; or it was given up.
pub fn images(path: &Path, manifest: &Manifest, headway: &Headway) -> Result<(), VerifyError> {
    compare(path, manifest, |name| !is_put_back(name), (QUIETLY, &|bytes| headway.go_on(bytes)))
}

/// CRIU needs the other processors.
const QUIETLY: Effort = Effort::OneProcessor;

/// Compares small files at the same time, whose round trips are most of the work, and then the others in turn with this `effort`; `done`
/// is told of bytes as they are read.
fn compare(
    path: &Path,
    manifest: &Manifest,
    which: impl Fn(&str) -> bool,
    (effort, done): (Effort, &(dyn Fn(u64) -> io::Result<()> + Sync)),
) -> Result<(), VerifyError> {
    let one = |(name, expected): &Expected<'_>, effort: Effort| {
        let opened = no_links::file(path, Path::new(name));
        let found = opened.and_then(|file| digest::hash(&file, effort, done));
        match found.map_err(|source| read(name, source))? == **expected {
            true => Ok(()),
            false => Err(VerifyError::Altered { name: name.to_string() }),
        }
    };
    let wanted = manifest.files.iter().filter(|(name, _)| which(name));
    let (small, large): (Vec<Expected<'_>>, Vec<_>) =
        wanted.partition(|(_, expected)| expected.size <= limits::READ_PIECE_BYTES as u64);
    try_for_each(&small, |file| one(file, Effort::OneProcessor))?;
    large.iter().try_for_each(|file| one(file, effort))
}

fn read(name: &str, source: io::Error) -> VerifyError {
    VerifyError::Read { name: name.to_owned(), source }
}

/// What is in the generation `root` and was not committed with `manifest`, or is of another kind; the first of it. Nothing may
/// be there that was not committed, since CRIU reads whatever has the right name.
fn stranger(root: &Path, manifest: &Manifest) -> io::Result<Option<String>> {
    // It must be the directory itself, not one that a link leads to.
    if !root.symlink_metadata()?.is_dir() {
        return Ok(Some(".".to_owned()));
    }
    let belongs = |name: &str, found: &Kind| match found.kind {
        _ if is_extra(name) => is_as_told(name, found, manifest),
        libc::S_IFREG if is_link(name, manifest) => true,
        libc::S_IFREG => {
            manifest.files.contains_key(name)
                || [layout::MANIFEST, layout::DIGEST, layout::SIGNATURE].contains(&name)
        }
        libc::S_IFDIR => [layout::IMAGES, layout::FILES, layout::UNNAMED, layout::LINKS].contains(&name),
        _ => false,
    };
    Ok(contents::of(root)?.into_iter().find(|(name, found)| !belongs(name, found)).map(|(name, _)| name))
}

/// Whether a name is that of a link which the manifest tells.
fn is_link(name: &str, manifest: &Manifest) -> bool {
    let Some(name) = name.strip_prefix(layout::LINKS).and_then(|rest| rest.strip_prefix('/')) else {
        return false;
    };
    manifest.unnamed_files.iter().any(|file| matches!(&file.kept, Kept::Linked(told) if told == name))
}

/// Generations of earlier releases do not tell of the additional files other than their contents.
fn is_as_told(name: &str, found: &Kind, manifest: &Manifest) -> bool {
    let Some(extra) = &manifest.extra else { return true };
    let same = |told: &Attributes| told.mode & libc::S_IFMT == found.kind && told.link == found.link;
    extra.get(name).is_some_and(same)
}
