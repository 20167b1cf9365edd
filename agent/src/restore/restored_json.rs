//! Tells a restored application which generation it is.

use std::fs;
use std::io;
use std::path::Path;

use crik_store::backend::durable::ignore_missing;
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::Generation;
use crik_store::image_dir::pod::Pod;
use crik_store::image_dir::to_json;
use serde::Serialize;

use crate::base::replace_file::replace_file;
use crate::base::{limits, units};

/// The contents of `/run/crik/restored.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored<'a> {
    generation: Generation,
    checkpointed_at: String,
    checkpointed_on: Option<&'a str>,
    restored_at: String,
    restored_on: Option<&'a str>,
}

/// Writes the file before the first instruction of the tree. What an application reads there is never half written.
pub fn tell(manifest: &Manifest, here: &Pod) {
    let restored = Restored {
        generation: manifest.generation,
        checkpointed_at: units::rfc3339(manifest.created_at),
        checkpointed_on: manifest.identity.node.as_deref(),
        restored_at: units::rfc3339(units::now()),
        restored_on: here.node.as_deref(),
    };
    warn(write(Path::new(limits::RESTORED), &to_json(&restored)));
}

/// Removes the file: what starts fresh was not restored.
pub fn forget() {
    warn(ignore_missing(fs::remove_file(limits::RESTORED)));
}

fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    replace_file(path, contents, 0o644)
}

/// A container may have a read-only root file system, and few applications look.
fn warn(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!("{} cannot be written: {error}", limits::RESTORED);
    }
}
