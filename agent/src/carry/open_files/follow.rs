//! Lets a tree go on with files of volumes that it only reads and that are longer now.

use std::fs;
use std::path::Path;

use crik_store::generation::open_files::{Access, VolumeFile};

use crate::config::ChangedFiles;
use crate::tree::criu::images::{Damage, FilesImage};

/// Has CRIU take each of `known` that has grown, and that the tree only read, however long it is: others may write to it at this
/// moment.
///
/// # Errors
/// What is wrong with the image.
pub fn follow(files: &mut FilesImage, known: &[VolumeFile], changed: ChangedFiles) -> Result<(), Damage> {
    let grown: Vec<&Path> =
        known.iter().filter(|file| has_grown(file)).map(|file| file.path.as_path()).collect();
    if grown.is_empty() || changed == ChangedFiles::Refuse {
        return Ok(());
    }
    for path in &grown {
        tracing::warn!("{} is longer than at the checkpoint; the program goes on with it", path.display());
    }
    files.forget_sizes(|path| grown.contains(&path))
}

fn has_grown(file: &VolumeFile) -> bool {
    file.access == Access::Read && fs::symlink_metadata(&file.path).is_ok_and(|meta| meta.len() > file.size)
}
