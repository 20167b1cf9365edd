//! The version of a generation's form, by which a release knows whether it understands one. What a later release made is kept by an
//! earlier one, to which a person went back: it may be the newest work, and nobody here knows what it needs.

use std::io;

use serde::Deserialize;

use crate::base::limits;
use crate::image_dir::error::ImageDirError;
use crate::image_dir::{Generation, ImageDir, layout};

/// The version of the manifest that this release writes, and the newest that it reads. The first kept additional files under their
/// names below `files/`; since the second they are among what went along, which an earlier release would not put back. In the third some of
/// it is kept as streams; a generation without any is written as one of the second.
///
/// A field that an earlier release may leave aside needs no new version. Anything that it must not do without needs one: another codec,
/// another kind of stream, another way to keep packs or to name them.
pub const VERSION: u32 = 3;

/// All that a manifest of any release says in the same way.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The version of a manifest with these contents.
///
/// # Errors
/// They are not those of one.
pub fn version(manifest: &[u8]) -> serde_json::Result<u32> {
    serde_json::from_slice(manifest).map(|Versioned { version }| version)
}

impl ImageDir {
    /// Whether a later release made `generation`. What tells no version is damaged, or no generation, and of no release.
    pub(super) fn is_of_a_later_release(&self, generation: Generation) -> Result<bool, ImageDirError> {
        let name = generation.directory().join(layout::MANIFEST);
        match self.backend().read(&name, limits::MANIFEST_MAX_BYTES) {
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::InvalidData].contains(&error.kind()) => {
                Ok(false)
            }
            read => {
                let manifest = read.map_err(self.at("read", &name))?;
                Ok(version(&manifest).is_ok_and(|version| version > VERSION))
            }
        }
    }
}
