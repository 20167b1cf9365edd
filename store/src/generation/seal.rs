//! Makes an image durable, and hashes it meanwhile.
//!
//! To follow the files already while CRIU writes them was tried and made the dump itself slower by a third, since both fight for the
//! same pages.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::backend::durable::{sync_names, sync_range};
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::locked;
use crate::base::side_by_side::in_threads;
use crate::generation::digest::{self, Effort, FileDigest, Files};
use crate::image_dir::layout;

/// Makes every file and directory below `dir` durable, and returns the facts of the files by their path in it. Ends soon after it
/// was given up.
///
/// # Errors
/// A file cannot be read, or not be made durable; or it was given up.
pub fn seal(dir: &Path, headway: &Headway) -> io::Result<Files> {
    let mut found = Found::default();
    found.walk(dir)?;
    // Those that have nearly all bytes come first, so that the others are done beside them.
    found.files.sort_by_key(|path| !has_pages(path));
    let sealed = Sealed { dir, headway, outcome: Mutex::new(Ok(Files::new())) };
    sealed.side_by_side(&found.files);
    let files = sealed.outcome.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    for directory in &found.directories {
        headway.go_on(0)?;
        sync_names(directory)?;
    }
    Ok(files)
}

fn has_pages(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("pages-"))
}

/// What is sealed so far.
struct Sealed<'a> {
    dir: &'a Path,
    headway: &'a Headway,
    outcome: Mutex<io::Result<Files>>,
}

/// Where a large file is handed on to.
type Large<'a> = Sender<(&'a Path, File)>;

impl Sealed<'_> {
    /// Seals small files at the same time, since with these it is the volume's answers that are waited for, and large ones in turn,
    /// with all processors. After an error nothing more is begun.
    fn side_by_side(&self, paths: &[PathBuf]) {
        let (next, (tell, large)) = (AtomicUsize::new(0), channel());
        thread::scope(|scope| {
            let (threads, next) = (paths.len().min(limits::SEALERS_MAX), &next);
            // What `tell` is for ends with the last of them.
            in_threads(scope, ("crik-seal", threads), move || self.small_ones(paths, next, &tell));
            for (path, file) in large {
                self.note(path, self.whole(&file, Effort::AllProcessors));
            }
        });
    }

    /// Takes one file after the other from `paths`, until another thread has failed.
    fn small_ones<'p>(&self, paths: &'p [PathBuf], next: &AtomicUsize, large: &Large<'p>) {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            if locked(&self.outcome).is_err() {
                return;
            }
            match open(path) {
                Ok((file, bytes)) if bytes >= limits::LARGE_FILE_BYTES => drop(large.send((path, file))),
                opened => {
                    self.note(path, opened.and_then(|(file, _)| self.whole(&file, Effort::OneProcessor)))
                }
            }
        }
    }

    fn whole(&self, file: &File, effort: Effort) -> io::Result<FileDigest> {
        self.headway.go_on(0)?;
        let written = WriteBack { file, read: Cell::new(0), begun: Cell::new(0) };
        let digest = digest::hash(file, effort, &|bytes| {
            written.follow(bytes)?;
            self.headway.go_on(bytes)
        })?;
        file.sync_all()?;
        Ok(digest)
    }

    fn note(&self, path: &Path, digest: io::Result<FileDigest>) {
        let mut outcome = locked(&self.outcome);
        let Ok(files) = &mut *outcome else { return };
        match digest.and_then(|digest| Ok((name(self.dir, path)?, digest))) {
            Ok((name, digest)) => drop(files.insert(name, digest)),
            Err(error) => *outcome = Err(error),
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// Brings a file to the volume a part at a time, right behind the hash: one fsync(2) of many gigabytes could not be given up.
struct WriteBack<'a> {
    file: &'a File,
    /// Bytes that were read.
    read: Cell<u64>,
    /// Those of them that are on their way to the volume.
    begun: Cell<u64>,
}

impl WriteBack<'_> {
    /// So many bytes more were read: begins to write those that came together, and waits for those that are far behind.
    fn follow(&self, bytes: u64) -> io::Result<()> {
        let (at, read) = (self.begun.get(), self.read.get() + bytes);
        self.read.set(read);
        if read - at < limits::LARGE_FILE_BYTES {
            return Ok(());
        }
        self.begun.set(read);
        self.sync(at, read - at, libc::SYNC_FILE_RANGE_WRITE)?;
        let whole = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        match at.checked_sub(limits::WRITE_BACK_BYTES) {
            Some(behind) => self.sync(behind, read - at, whole),
            None => Ok(()),
        }
    }

    fn sync(&self, at: u64, bytes: u64, how: u32) -> io::Result<()> {
        sync_range(self.file, at, bytes, how)
    }
}

/// A file's name in the manifest, which is JSON and so UTF-8.
fn name(dir: &Path, path: &Path) -> io::Result<String> {
    let name = path.strip_prefix(dir).unwrap_or(path).to_str();
    name.map(str::to_owned).ok_or_else(|| io::Error::other(format!("the name of {path:?} is not UTF-8")))
}

/// Regular files and directories; symbolic links are neither.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Found {
    /// Lists what is below `dir`, and `dir` itself.
    fn walk(&mut self, dir: &Path) -> io::Result<()> {
        self.directories.push(dir.to_owned());
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // What links lead to is no part of the generation, and changes. Packs are durable, and compared chunk by chunk.
            if kind.is_dir() && [layout::LINKS, layout::PACKS].iter().any(|name| entry.file_name() == *name) {
                self.directories.push(entry.path());
            } else if kind.is_dir() {
                self.walk(&entry.path())?;
            } else if kind.is_file() {
                self.files.push(entry.path());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_blake3_of_the_whole_however_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("criu")).unwrap();
        let path = dir.path().join("criu/pages-1.img");
        let contents: Vec<u8> = (0..90_000_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &contents).unwrap();
        fs::write(dir.path().join("empty"), b"").unwrap();
        fs::write(dir.path().join("small"), &contents[..300_000]).unwrap();
        let headway = Headway::default();
        let facts = seal(dir.path(), &headway).unwrap();
        let told = |bytes: &[u8]| FileDigest {
            size: bytes.len() as u64,
            blake3: blake3::hash(bytes).to_hex().to_string(),
        };
        assert_eq!(facts["criu/pages-1.img"], told(&contents));
        assert_eq!(digest::hash_file(&path).unwrap(), told(&contents));
        assert_eq!(facts["small"], told(&contents[..300_000]));
        assert_eq!(facts["empty"].size, 0);
        assert_eq!(headway.moved(), 90_300_000);
    }

    #[test]
    fn what_was_given_up_is_not_sealed() {
        let dir = tempfile::tempdir().unwrap();
        (0..100).for_each(|n| fs::write(dir.path().join(n.to_string()), "x").unwrap());
        let headway = Headway::default();
        headway.give_up();
        assert!(seal(dir.path(), &headway).is_err());
        // One for each thread at most.
        assert!(headway.moved() <= limits::SEALERS_MAX as u64 + 1, "{}", headway.moved());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut paths: Vec<PathBuf> = (0..50).map(|n| dir.path().join(n.to_string())).collect();
        paths.iter().for_each(|path| fs::write(path, "x").unwrap());
        paths.insert(7, dir.path().join("gone"));
        let headway = Headway::default();
        let sealed = Sealed { dir: dir.path(), headway: &headway, outcome: Mutex::new(Ok(Files::new())) };
        sealed.side_by_side(&paths);
        let error = sealed.outcome.into_inner().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
