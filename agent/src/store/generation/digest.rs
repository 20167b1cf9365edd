//! Hashes and durability of an image's files.
//!
//! Syncing and hashing go on side by side: the one waits for the disk, the other keeps the processors busy with
//! what is still in the page cache. To follow the files already while CRIU writes them was tried and made the dump
//! itself slower by a third, since both fight for the same pages.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::store::image_dir::durable::sync_names;
use crate::store::image_dir::layout;

/// Makes every file and directory below `dir` durable, and returns the facts of the files by their path in it.
///
/// # Errors
/// A file cannot be read, or not be made durable.
pub fn seal(dir: &Path) -> io::Result<Files> {
    let (mut paths, mut directories) = (Vec::new(), Vec::new());
    walk(dir, &mut paths, &mut directories)?;
    // One open file at a time for each: there may be more files than descriptors.
    let (synced, hashed) = thread::scope(|scope| {
        let syncing = scope.spawn(|| paths.iter().try_for_each(|path| sync(dir, path)));
        let hashed = hash_all(dir, &paths);
        (syncing.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs panicked"))), hashed)
    });
    synced?;
    directories.iter().try_for_each(|directory| sync_names(directory))?;
    hashed
}

/// CRIU makes its files readable for all; what an image holds is nobody's but the application's. A volume that keeps no modes has
/// its own way to tell who may read it.
fn sync(dir: &Path, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    if path.starts_with(dir.join(layout::IMAGES)) {
        let _ = file.set_permissions(Permissions::from_mode(0o600));
    }
    file.sync_all()
}

fn hash_all(dir: &Path, paths: &[PathBuf]) -> io::Result<Files> {
    let facts = paths
        .iter()
        .map(|path| Ok((name(dir, path)?, hash(&File::open(path)?, Effort::AllProcessors, &|_| {})?)));
    facts.collect()
}

/// A file's name in the manifest, which is JSON and so UTF-8.
fn name(dir: &Path, path: &Path) -> io::Result<String> {
    let name = path.strip_prefix(dir).unwrap_or(path).to_str();
    name.map(str::to_owned).ok_or_else(|| io::Error::other(format!("the name of {path:?} is not UTF-8")))
}

/// Hashes one file on one processor: at a restore CRIU needs the others.
///
/// # Errors
/// It cannot be read.
pub fn hash_file(path: &Path) -> io::Result<FileDigest> {
    hash(&File::open(path)?, Effort::OneProcessor, &|_| {})
}

/// Hashes what can be read, on one processor.
///
/// # Errors
/// It cannot be read.
pub fn hash_reader(mut reader: impl Read) -> io::Result<FileDigest> {
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut reader, &mut hasher)?;
    Ok(FileDigest { size, blake3: hasher.finalize().to_hex().to_string() })
}

/// How many processors a hash may use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// One.
    OneProcessor,
    /// All that there are.
    AllProcessors,
}

/// Hashes an open file, and tells `done` each time how many bytes more were read.
///
/// # Errors
/// It cannot be read.
pub fn hash(mut file: &File, effort: Effort, done: &dyn Fn(u64)) -> io::Result<FileDigest> {
    let mut hasher = blake3::Hasher::new();
    let length = file.metadata()?.len();
    let chunk = match effort {
        Effort::OneProcessor => limits::HASH_CHUNK_BYTES,
        Effort::AllProcessors => limits::PARALLEL_HASH_CHUNK_BYTES,
    };
    let mut buffer = vec![0; chunk.min(usize::try_from(length).unwrap_or(chunk).max(1))];
    let mut size = 0;
    loop {
        let read = fill(&mut file, &mut buffer)?;
        if read == 0 {
            return Ok(FileDigest { size, blake3: hasher.finalize().to_hex().to_string() });
        }
        match effort {
            Effort::OneProcessor => hasher.update(&buffer[..read]),
            Effort::AllProcessors => hasher.update_rayon(&buffer[..read]),
        };
        size += read as u64;
        done(read as u64);
    }
}

/// Reads until the buffer is full or the file ends: a network file system gives less than was asked for.
fn fill(file: &mut &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Lists regular files and directories below `dir`, and `dir` itself; symbolic links are in neither list.
fn walk(dir: &Path, files: &mut Vec<PathBuf>, directories: &mut Vec<PathBuf>) -> io::Result<()> {
    directories.push(dir.to_owned());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // What links lead to is no part of the generation, and changes.
        if kind.is_dir() && entry.file_name() == layout::LINKS {
            directories.push(entry.path());
        } else if kind.is_dir() {
            walk(&entry.path(), files, directories)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The facts of files by their path relative to the generation.
pub type Files = BTreeMap<String, FileDigest>;

/// A file of the generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3 of its contents, in hexadecimal.
    pub blake3: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_blake3_of_the_whole_however_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("criu")).unwrap();
        let path = dir.path().join("criu/pages-1.img");
        let contents: Vec<u8> = (0..9_000_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &contents).unwrap();
        fs::write(dir.path().join("empty"), b"").unwrap();
        let facts = seal(dir.path()).unwrap();
        let expected = FileDigest { size: 9_000_000, blake3: blake3::hash(&contents).to_hex().to_string() };
        assert_eq!(facts["criu/pages-1.img"], expected);
        assert_eq!(hash_file(&path).unwrap(), expected);
        assert_eq!(facts["empty"].size, 0);
    }
}
