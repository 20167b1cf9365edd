//! Hashes of an image's files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::base::watchdog::moved;

/// Hashes one file on one processor: at a restore CRIU needs the others.
///
/// # Errors
/// It cannot be read.
pub fn hash_file(path: &Path) -> io::Result<FileDigest> {
    hash(&File::open(path)?, Effort::OneProcessor, &|_| Ok(()))
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
    /// One, beside others that may hash as well.
    OneProcessor,
    /// All that there are.
    AllProcessors,
}

/// Hashes an open file, and tells `done` each time how many bytes more were read.
///
/// # Errors
/// It cannot be read, or `done` wants no more of it.
pub fn hash(mut file: &File, effort: Effort, done: &dyn Fn(u64) -> io::Result<()>) -> io::Result<FileDigest> {
    let mut hasher = blake3::Hasher::new();
    let length = file.metadata()?.len();
    let chunk = match effort {
        Effort::OneProcessor => limits::HASH_CHUNK_BYTES,
        Effort::AllProcessors => limits::PARALLEL_HASH_CHUNK_BYTES,
    };
    let mut buffer = vec![0; chunk.min(usize::try_from(length).unwrap_or(chunk).max(1))];
    let mut size = 0;
    loop {
        let read = fill(&mut file, &mut buffer, done)?;
        if read == 0 {
            return Ok(FileDigest { size, blake3: hasher.finalize().to_hex().to_string() });
        }
        match effort {
            Effort::OneProcessor => hasher.update(&buffer[..read]),
            Effort::AllProcessors => hasher.update_rayon(&buffer[..read]),
        };
        size += read as u64;
    }
}

/// Reads until the buffer is full or the file ends: a network file system gives less than was asked for. A piece at a time, since a
/// read that is under way on a slow volume cannot be given up.
fn fill(file: &mut &File, buffer: &mut [u8], done: &dyn Fn(u64) -> io::Result<()>) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let end = buffer.len().min(filled + limits::READ_PIECE_BYTES);
        match file.read(&mut buffer[filled..end]) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                moved();
                done(read as u64)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
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
