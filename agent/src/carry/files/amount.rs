//! How much goes along, and whether that is too much.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::CarryError;
use super::largest::largest;
use super::places::Place;
use super::walk::Found;

/// Bytes that are not holes, of every file once.
pub fn stored<'a>(found: impl Iterator<Item = &'a Found>) -> u64 {
    files(found).map(|(_, bytes)| bytes).sum()
}

/// Each file once, however many names it has, with its bytes that are not holes.
fn files<'a>(found: impl Iterator<Item = &'a Found>) -> impl Iterator<Item = (&'a Path, u64)> {
    let mut seen = BTreeSet::new();
    let files = found.filter(|found| found.meta.is_file());
    let once =
        files.filter(move |Found { meta, .. }| meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino())));
    once.map(|found| (found.path.as_path(), stored_of(&found.meta)))
}

/// A block of stat(2) has 512 bytes. Some file systems keep small files in no block at all.
fn stored_of(meta: &Metadata) -> u64 {
    let blocks = meta.blocks().saturating_mul(512);
    if blocks == 0 { meta.len() } else { meta.len().min(blocks) }
}

/// Refuses more than may go along. What the user names does not count: that is wanted.
///
/// # Errors
/// It is more; the largest paths are named.
pub fn within(found: &[Found], places: &[Place], allowed: u64) -> Result<(), CarryError> {
    let counted = || found.iter().filter(|found| !places[found.place].kind.is_named());
    let bytes = stored(counted());
    if bytes <= allowed {
        return Ok(());
    }
    Err(CarryError::TooMuch { found: bytes, allowed, largest: largest(files(counted())) })
}
