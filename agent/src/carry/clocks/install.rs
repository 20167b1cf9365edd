//! Puts the library and its page where the tree can map them, now and after every restore.
//!
//! CRIU maps both again from the same paths: the library from an identical file, the page from one of the same size. So their
//! names are made at the fresh start and go along with the checkpoint. They are unlike all others, since containers of one pod
//! may share a directory, `/dev/shm` always.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crik_store::generation::clock_facts::{Clocks, Installed};
use nix::sys::statvfs::{FsFlags, statvfs};
use thiserror::Error;

use super::layout::Number;
use super::page::{self, PageError};
use crate::base::limits;
use crate::base::limits::INIT_DIRECTORIES;
use crate::base::replace_file::partial_name;
use crate::carry::left_overs;

/// The library, built from `preload/clocks.rs`.
pub const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/clocks.so"));

/// Where ld.so(8) finds what a program is preloaded with.
pub const PRELOAD: &str = "LD_PRELOAD";

/// Written to by every process of the tree, whoever it belongs to.
const PAGE_MODE: u32 = 0o666;
const LIBRARY_MODE: u32 = 0o755;

/// Nowhere can the library be put.
#[derive(Debug, Error)]
#[error(
    "no directory can hold the library that keeps the clocks going: {tried}; make one of them writable and executable (an emptyDir on \
     /run/crik will do), or programs may stand still on a younger node"
)]
pub struct NoPlace {
    tried: String,
}

/// The page cannot be made to go on.
#[derive(Debug, Error)]
pub enum RebaseError {
    /// Its file.
    #[error("cannot write the page of clocks {path}: {error}")]
    Io {
        /// Its path.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
    /// Its contents.
    #[error("{path}: {error}")]
    Page {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        error: PageError,
    },
}

/// For a fresh start, whose clocks are the machine's.
///
/// # Errors
/// No directory can be written and executed from.
pub fn fresh(image_dir: Option<&Path>) -> Result<Installed, NoPlace> {
    let directories = INIT_DIRECTORIES.iter().map(Path::new).chain(image_dir);
    fresh_in(directories, &limits::CLOCK_PAGE_DIRECTORIES.map(Path::new))
}

/// The same in the first of these directories that will do; the page beside the library if in none of its own.
///
/// # Errors
/// No directory can be written and executed from.
pub fn fresh_in<'a>(
    directories: impl Iterator<Item = &'a Path>,
    for_page: &[&Path],
) -> Result<Installed, NoPlace> {
    let mut tried = Vec::new();
    for directory in directories {
        match fresh_at(directory, for_page) {
            Ok(installed) => return Ok(installed),
            Err(error) => tried.push(format!("{} ({error})", directory.display())),
        }
    }
    Err(NoPlace { tried: tried.join(", ") })
}

fn fresh_at(directory: &Path, for_page: &[&Path]) -> io::Result<Installed> {
    check(directory)?;
    let unique = fs::read_to_string(limits::RANDOM_UUID)?;
    let name = format!("{}{}.so", limits::CLOCK_FILE_NAME, unique.trim());
    let library = directory.join(&name);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for directory in for_page.iter().copied().chain([directory]) {
        let installed =
            Installed { library: library.clone(), page: directory.join(&name).with_extension("page") };
        match put_back(&installed, LIBRARY, &page::fresh()) {
            Ok(()) => return Ok(installed),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Lets the program that is about to be started make rings of io_uring.
///
/// # Errors
/// The page cannot be written.
pub fn allow_rings(installed: &Installed) -> io::Result<()> {
    let (at, allowed) = page::RINGS;
    File::options().write(true).open(&installed.page)?.write_all_at(&allowed, at)
}

/// For a restore: the library and the page that went along with the checkpoint.
///
/// # Errors
/// One of them cannot be written.
pub fn put_back(installed: &Installed, library: &[u8], page: &[u8]) -> io::Result<()> {
    left_overs::hold(&installed.page, write(&installed.page, page, PAGE_MODE)?);
    write(&installed.library, library, LIBRARY_MODE)?;
    let link = installed.link();
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(&installed.page, link),
    }
}

/// Sets the page of a tree that is stopped to where its clocks stood when its machine's said `then`; and the numbers of its
/// files, if it has others here.
///
/// # Errors
/// [`RebaseError`].
pub fn rebase(
    installed: &Installed,
    then: Clocks,
    now: Clocks,
    numbers: Option<&[Number]>,
) -> Result<(), RebaseError> {
    let path = &installed.page;
    let failed = |error| RebaseError::Io { path: path.clone(), error };
    let old = fs::read(path).map_err(failed)?;
    let mut new =
        page::rebase(&old, then, now).map_err(|error| RebaseError::Page { path: path.clone(), error })?;
    if let Some(numbers) = numbers {
        new = page::renumber(new, numbers);
    }
    let end = without_end(&old).len().max(without_end(&new).len());
    // In place, since the processes have it mapped.
    File::options().write(true).open(path).and_then(|file| file.write_all_at(&new[..end], 0)).map_err(failed)
}

/// What the programs of a tree are told in place of the numbers that files have here.
///
/// # Errors
/// [`RebaseError`].
pub fn renumbered(installed: &Installed) -> Result<Vec<Number>, RebaseError> {
    let path = &installed.page;
    let page = fs::read(path).map_err(|error| RebaseError::Io { path: path.clone(), error })?;
    page::renumbered(&page).map_err(|error| RebaseError::Page { path: path.clone(), error })
}

/// The value of LD_PRELOAD: this library, and what the program is preloaded with already.
#[must_use]
pub fn preload(installed: &Installed, theirs: Option<&OsStr>) -> OsString {
    let mut value = installed.library.clone().into_os_string();
    if let Some(theirs) = theirs.filter(|theirs| !theirs.is_empty()) {
        value.push(":");
        value.push(theirs);
    }
    value
}

/// Takes all of it away, when no process of the tree is left.
pub fn remove(installed: &Installed) {
    for path in [&installed.page, &installed.link(), &installed.library] {
        let _ = fs::remove_file(path);
    }
    left_overs::let_go(&installed.page);
}

/// Whether a library can lie here.
fn check(directory: &Path) -> io::Result<()> {
    // ld.so(8) takes both for the end of a path.
    if directory.as_os_str().as_bytes().iter().any(|byte| b": ".contains(byte)) {
        return Err(io::Error::other("its name has a space or a colon"));
    }
    fs::create_dir_all(directory)?;
    if statvfs(directory)?.flags().contains(FsFlags::ST_NOEXEC) {
        return Err(io::Error::other("mounted noexec"));
    }
    Ok(())
}

/// Returns the file, which is locked before it has a name. The mode is in the image, and CRIU compares it.
fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<File> {
    let partial = partial_name(path)?;
    let mut file = left_overs::create(&partial)?;
    let written = file
        .write_all(without_end(contents))
        .and_then(|()| file.set_len(contents.len() as u64))
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&partial, path));
    written.inspect_err(|_| drop(fs::remove_file(&partial)))?;
    Ok(file)
}

/// The zeros at a page's end are a hole, and take no memory.
fn without_end(contents: &[u8]) -> &[u8] {
    let end = contents.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &contents[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(directory: &Path) -> Installed {
        fresh_in([directory].into_iter(), &[]).unwrap()
    }

    #[test]
    fn two_trees_in_one_directory_do_not_meet() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (installed(directory.path()), installed(directory.path()));
        assert_ne!(a.library, b.library);
        assert_ne!(a.page, b.page);
    }

    #[test]
    fn the_page_is_found_beside_the_library() {
        let directory = tempfile::tempdir().unwrap();
        let installed = installed(directory.path());
        assert_eq!(fs::read(installed.link()).unwrap(), page::fresh());
        assert_eq!(fs::metadata(&installed.page).unwrap().permissions().mode() & 0o777, PAGE_MODE);
        remove(&installed);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_put_back_is_put_over_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let installed = installed(directory.path());
        let mut page = page::fresh();
        page[100] = 1;
        put_back(&installed, b"library of an older release", &page).unwrap();
        assert_eq!(fs::read(&installed.library).unwrap(), b"library of an older release");
        assert_eq!(fs::read(installed.link()).unwrap(), page);
    }

    #[test]
    fn the_users_own_preload_stays() {
        let installed = Installed { library: "/run/crik/a.so".into(), page: "/dev/shm/a.page".into() };
        assert_eq!(preload(&installed, None), "/run/crik/a.so");
        assert_eq!(preload(&installed, Some(OsStr::new(""))), "/run/crik/a.so");
        assert_eq!(preload(&installed, Some(OsStr::new("/b.so /c.so"))), "/run/crik/a.so:/b.so /c.so");
    }

    #[test]
    fn a_directory_that_ld_so_cannot_name_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let spaced = directory.path().join("a b");
        let error = fresh_in([spaced.as_path()].into_iter(), &[]).unwrap_err().to_string();
        assert!(error.contains("space"), "{error}");
    }
}
