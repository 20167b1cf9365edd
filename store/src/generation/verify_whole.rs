//! Verifies all of a generation, for a person who wants to know.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::encryption::keys::EncryptionKeys;
use crate::generation::manifest::Manifest;
use crate::generation::streams;
use crate::generation::verify::{self, VerifyError};
use crate::image_dir::ImageDir;

/// Compares all files and all streams of the generation in `path` with what was committed; `done` is told of bytes as they are read.
///
/// # Errors
/// Something was altered or cannot be read.
pub fn whole(
    path: &Path,
    dir: &ImageDir,
    (manifest, keys): (&Manifest, Option<&EncryptionKeys>),
    done: &(dyn Fn(u64) + Sync),
) -> Result<(), VerifyError> {
    verify::files(path, manifest, done)?;
    let Some(reader) = streams::reader(path, dir, manifest, (keys, &Arc::default()))? else {
        return Ok(());
    };
    let streams = &reader.index().streams;
    streams.iter().try_for_each(|stream| Ok(reader.copy(&stream.name, &mut Told(done)).map(drop)?))
}

/// Takes what it is given, and tells how much that is.
struct Told<'a>(&'a (dyn Fn(u64) + Sync));

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
