//! How much goes along, and whether that is too much.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::error::CarryError;
use super::holes::extent;
use super::largest::largest;
use super::places::Place;
use super::walk::Found;
use crate::base::limits;

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
    once.map(|found| (found.path.as_path(), stored_of(&found.path, &found.meta)))
}

/// A block of stat(2) has 512 bytes. Some file systems keep small files in no block at all, and a file that is one hole has none.
fn stored_of(path: &Path, meta: &Metadata) -> u64 {
    match meta.blocks().saturating_mul(512) {
        0 if meta.len() <= limits::IN_NO_BLOCK_BYTES => meta.len(),
        0 => without_holes(path, meta.len()).unwrap_or(meta.len()),
        blocks => meta.len().min(blocks),
    }
}

fn without_holes(path: &Path, size: u64) -> io::Result<u64> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let (mut at, mut bytes) = (0, 0);
    while let Some((offset, end)) = extent(&file, at, size)? {
        (at, bytes) = (end, bytes + (end - offset));
    }
    Ok(bytes)
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
