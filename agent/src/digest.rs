//! Hashes and durability of an image's files.
//!
//! CRIU writes the pages of a tree once, front to back, into `pages-*.img`. A follower reads them behind it, while
//! they are still in the page cache, hashes them and starts their write-back, so that little is left to do when the
//! dump ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};

use crate::limits;
use crate::manifest::{FileFacts, Files};

/// Hashes and syncs a directory while it is being written. Dropped, it stops.
pub struct Follower {
    stage: Arc<AtomicU8>,
    thread: Option<JoinHandle<io::Result<Files>>>,
}

/// The image still grows.
const FOLLOWING: u8 = 0;
/// All of it is written.
const FINISHING: u8 = 1;
/// Nobody wants it.
const ABANDONED: u8 = 2;

impl Follower {
    /// Starts to follow the page images in `dir/criu`.
    pub fn start(dir: &Path) -> Self {
        let stage = Arc::new(AtomicU8::new(FOLLOWING));
        let (seen, dir) = (Arc::clone(&stage), dir.to_owned());
        Self { stage, thread: Some(thread::spawn(move || follow(&dir, &seen))) }
    }

    /// Called when nothing is written any more. Returns the facts of all files in the directory, each of which is
    /// durable then, as are the directories.
    ///
    /// # Errors
    /// A file cannot be read, or not be made durable.
    pub fn finish(mut self) -> io::Result<Files> {
        self.stage.store(FINISHING, Ordering::Release);
        let outcome = self.thread.take().and_then(|thread| thread.join().ok());
        outcome.unwrap_or_else(|| Err(io::Error::other("the hashing thread panicked")))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stage.store(ABANDONED, Ordering::Release);
    }
}

fn follow(dir: &Path, stage: &AtomicU8) -> io::Result<Files> {
    let mut pages: BTreeMap<PathBuf, Progress> = BTreeMap::new();
    loop {
        // Read before the last round, so that nothing written before the end is missed.
        let stage = stage.load(Ordering::Acquire);
        if stage == ABANDONED {
            return Ok(Files::new());
        }
        let mut read = 0;
        for path in page_images(&dir.join("criu")) {
            if !pages.contains_key(&path) {
                pages.insert(path.clone(), Progress::new(File::open(&path)?));
            }
            if let Some(progress) = pages.get_mut(&path) {
                read += progress.catch_up()?;
            }
        }
        if stage == FINISHING {
            break;
        }
        if read == 0 {
            thread::sleep(limits::FOLLOW_PAUSE);
        }
    }
    finish(dir, pages)
}

/// Hashes what the follower left out, then makes all durable. Write-back of every file is started before the first is
/// waited for.
fn finish(dir: &Path, mut pages: BTreeMap<PathBuf, Progress>) -> io::Result<Files> {
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    walk(dir, &mut files, &mut directories)?;
    let mut hashed = Vec::with_capacity(files.len());
    for path in files {
        let mut progress = match pages.remove(&path) {
            Some(progress) => progress,
            None => Progress::new(File::open(&path)?),
        };
        progress.catch_up()?;
        hashed.push((path, progress));
    }
    let mut facts = Files::new();
    for (path, progress) in hashed {
        progress.file.sync_all()?;
        let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        facts.insert(name, progress.facts());
    }
    directories.iter().try_for_each(|directory| File::open(directory)?.sync_all())?;
    Ok(facts)
}

fn page_images(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().is_some_and(|name| is_page_image(&name.to_string_lossy()))).collect()
}

fn is_page_image(name: &str) -> bool {
    name.starts_with("pages-") && name.ends_with(".img")
}

/// Lists regular files and directories below `dir`, and `dir` itself; symbolic links are in neither list.
fn walk(dir: &Path, files: &mut Vec<PathBuf>, directories: &mut Vec<PathBuf>) -> io::Result<()> {
    directories.push(dir.to_owned());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files, directories)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// How far a file has been hashed.
struct Progress {
    file: File,
    hasher: blake3::Hasher,
    hashed: u64,
    buffer: Vec<u8>,
}

impl Progress {
    fn new(file: File) -> Self {
        Self { file, hasher: blake3::Hasher::new(), hashed: 0, buffer: Vec::new() }
    }

    /// Hashes what there is to read, and starts its write-back. Returns how much that was.
    fn catch_up(&mut self) -> io::Result<u64> {
        let before = self.hashed;
        self.buffer.resize(limits::HASH_CHUNK_BYTES, 0);
        loop {
            let read = self.file.read(&mut self.buffer)?;
            if read == 0 {
                self.buffer = Vec::new();
                return Ok(self.hashed - before);
            }
            self.hasher.update(&self.buffer[..read]);
            start_write_back(&self.file, self.hashed, read);
            self.hashed += read as u64;
        }
    }

    fn facts(self) -> FileFacts {
        FileFacts { size: self.hashed, blake3: self.hasher.finalize().to_hex().to_string() }
    }
}

/// Only a hint, to have less to wait for in the fsync that follows; where it is not supported nothing is lost.
fn start_write_back(file: &File, offset: u64, length: usize) {
    // SAFETY: takes numbers only, and an error is without consequence.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset.cast_signed(),
            (length as u64).cast_signed(),
            libc::SYNC_FILE_RANGE_WRITE,
        );
    }
}

/// Hashes one file.
///
/// # Errors
/// It cannot be read.
pub fn hash_file(path: &Path) -> io::Result<FileFacts> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; limits::HASH_CHUNK_BYTES];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(FileFacts { size, blake3: hasher.finalize().to_hex().to_string() });
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_grows_under_the_follower_has_the_hash_of_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("criu")).unwrap();
        let path = dir.path().join("criu/pages-1.img");
        let follower = Follower::start(dir.path());
        let mut pages = File::create(&path).unwrap();
        for round in 0..64_u8 {
            pages.write_all(&vec![round; 100_000]).unwrap();
        }
        fs::write(dir.path().join("criu/core-1.img"), b"small").unwrap();
        let facts = follower.finish().unwrap();
        assert_eq!(facts.len(), 2);
        assert_eq!(facts["criu/pages-1.img"], hash_file(&path).unwrap());
        assert_eq!(facts["criu/core-1.img"].size, 5);
    }
}
