//! The images of a generation as files: where they are files, or where a moment's copy of those is that are kept as streams, but for those
//! of memory.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crik_store::chunks::read::ReadError;
use crik_store::encryption::keys::EncryptionKeys;
use crik_store::generation::manifest::Manifest;
use crik_store::generation::parts::Parts;
use crik_store::generation::streams;
use crik_store::generation::verify::VerifyError;
use crik_store::image_dir::{ImageDir, layout};
use thiserror::Error;

use crate::base::headway::Headway;
use crate::base::private_directory::{NoPlace, PrivateDirectory};
use crate::base::retry::{HasOutlook, Outlook};
use crate::restore::stream_images::StreamImages;
use crate::tree::criu::images;

/// Why the images cannot be read.
#[derive(Debug, Error)]
pub enum GenerationImagesError {
    /// They are not what was committed, or cannot be read.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// There is no place for a copy.
    #[error(transparent)]
    Place(#[from] NoPlace),
    /// A copy cannot be written.
    #[error("cannot write {path}: {source}")]
    Copy {
        /// The copy.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl HasOutlook for GenerationImagesError {
    fn outlook(&self) -> Outlook {
        match self {
            Self::Verify(error) => error.outlook(),
            Self::Place(error) => error.outlook(),
            Self::Copy { source, .. } => source.outlook(),
        }
    }

    fn is_of_the_volume(&self) -> bool {
        matches!(self, Self::Verify(error) if error.is_of_the_volume())
    }
}

/// The images of a generation, and its other parts.
pub struct GenerationImages {
    path: PathBuf,
    parts: Parts,
    streams: Option<Arc<StreamImages>>,
    /// Removed with this.
    _copy: Option<PrivateDirectory>,
}

impl GenerationImages {
    /// Those of the generation in `path`, whose packs are in `dir`.
    ///
    /// # Errors
    /// They are not what was committed, cannot be read, or there is no place for a copy.
    pub fn open(
        path: &Path,
        dir: &ImageDir,
        manifest: &Manifest,
        (keys, headway): (Option<&EncryptionKeys>, &Arc<Headway>),
    ) -> Result<Self, GenerationImagesError> {
        let reader = streams::reader(path, dir, manifest, (keys, headway))?;
        let Some(reader) = reader else { return Ok(Self::of_files(path)) };
        let parts = Parts::new(path, Some(Arc::clone(&reader)));
        let copy = PrivateDirectory::make()?;
        let streams = StreamImages::new(reader);
        for name in streams.names().filter(|name| !images::is_of_memory(name)) {
            unpack(&streams, name, &copy.path().join(name))?;
        }
        Ok(Self { path: copy.path().to_owned(), parts, streams: Some(streams), _copy: Some(copy) })
    }

    /// Those of a generation that consists of files.
    pub fn of_files(path: &Path) -> Self {
        Self { path: path.join(layout::IMAGES), parts: Parts::new(path, None), streams: None, _copy: None }
    }

    /// The parts of the generation.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The directory in which they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Those that are no files.
    pub fn streams(&self) -> Option<&Arc<StreamImages>> {
        self.streams.as_ref()
    }
}

fn unpack(streams: &StreamImages, name: &str, path: &Path) -> Result<(), GenerationImagesError> {
    let failed = |source| GenerationImagesError::Copy { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    match streams.copy(name, &mut file) {
        Err(ReadError::Taker { source, .. }) => Err(failed(source)),
        copied => copied.map(drop).map_err(|error| VerifyError::from(error).into()),
    }
}
