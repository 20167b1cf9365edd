//! The parts of a generation that is made, or of one that is there: each a file, or a stream.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::no_links;
use crate::chunks::cursor::StreamCursor;
use crate::chunks::read::ChunkReader;
use crate::chunks::stream::StreamWriter;
use crate::generation::streams::StreamsWriter;

/// Where the parts of a generation that is made go.
#[derive(Clone)]
pub struct NewParts {
    staging: PathBuf,
    streams: Option<Arc<StreamsWriter>>,
}

/// A part that is written.
pub enum NewPart {
    /// Into a file.
    File(File),
    /// Into a stream.
    Stream(Box<StreamWriter>),
}

impl NewParts {
    /// Into files of a staging directory, or into streams where there are such.
    pub fn new(staging: &Path, streams: Option<Arc<StreamsWriter>>) -> Self {
        Self { staging: staging.to_owned(), streams }
    }

    /// Begins the part of this name, which may be in a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(&self, name: &str) -> io::Result<NewPart> {
        if let Some(streams) = &self.streams {
            return Ok(NewPart::Stream(Box::new(streams.stream(name)?)));
        }
        let path = self.staging.join(name);
        let parent = path.parent().unwrap_or(&path);
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        Ok(NewPart::File(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?))
    }

    /// The directory in which it is made.
    pub fn staging(&self) -> &Path {
        &self.staging
    }
}

impl NewPart {
    /// It is whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self {
            // Files are made durable together.
            Self::File(_) => Ok(()),
            Self::Stream(stream) => stream.finish(),
        }
    }
}

impl Write for NewPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

/// The parts of a generation that is there.
#[derive(Clone)]
pub struct Parts {
    path: PathBuf,
    streams: Option<Arc<ChunkReader>>,
}

/// A part that is read.
pub enum Part {
    /// From a file.
    File(File),
    /// From a stream.
    Stream(Box<StreamCursor>),
}

impl Parts {
    /// Of the generation in `path`, from its streams where it has such.
    pub fn new(path: &Path, streams: Option<Arc<ChunkReader>>) -> Self {
        Self { path: path.to_owned(), streams }
    }

    /// Opens the part of this name.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(&self, name: &str) -> io::Result<Part> {
        let stream = self.streams.as_ref().and_then(|streams| StreamCursor::open(streams, name));
        match stream {
            Some(stream) => Ok(Part::Stream(Box::new(stream))),
            None => no_links::file(&self.path, Path::new(name)).map(Part::File),
        }
    }

    /// Where the generation is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its streams.
    pub fn streams(&self) -> Option<&Arc<ChunkReader>> {
        self.streams.as_ref()
    }
}

impl Part {
    /// How many bytes it has.
    ///
    /// # Errors
    /// It cannot be asked.
    pub fn size(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Stream(stream) => Ok(stream.size()),
        }
    }
}

impl Read for Part {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(bytes),
            Self::Stream(stream) => stream.read(bytes),
        }
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Stream(stream) => stream.seek(to),
        }
    }
}
