//! Puts the init's program where the tree can map it, now and after every restore.
//!
//! CRIU restores a mapping only from an identical file at the same path, and a later release of `crik` may carry
//! another init. So the file's name is made from its contents, a generation carries a copy, and a restore puts that
//! copy back; the agent's own program is never part of a tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use thiserror::Error;

use crate::base::limits;
use crate::base::replace_file::replace_file;

/// The program, built from `init/init.rs`.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Nowhere can the init be put.
#[derive(Debug, Error)]
#[error(
    "no directory can hold a small program of crik's: {tried}; make one of them writable and executable (an emptyDir \
     on /run/crik will do)"
)]
pub struct NoPlace {
    tried: String,
}

/// Writes the program into the first directory that can be written and executed from, unless it is there already.
/// Returns its path.
///
/// # Errors
/// No directory can.
pub fn install(image_dir: Option<&Path>) -> Result<PathBuf, NoPlace> {
    let mut tried = Vec::new();
    for directory in limits::INIT_DIRECTORIES.iter().map(Path::new).chain(image_dir) {
        match install_in(directory) {
            Ok(path) => return Ok(path),
            Err(error) => tried.push(format!("{} ({error})", directory.display())),
        }
    }
    Err(NoPlace { tried: tried.join(", ") })
}

fn install_in(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join(format!("init-{}", &blake3::hash(PROGRAM).to_hex()[..16]));
    fs::create_dir_all(directory)?;
    if statvfs(directory)?.flags().contains(FsFlags::ST_NOEXEC) {
        return Err(io::Error::other("mounted noexec"));
    }
    if fs::read(&path).is_ok_and(|found| found == PROGRAM) {
        return Ok(path);
    }
    // The mode is in the image, and CRIU compares it.
    replace_file(&path, PROGRAM, 0o755)?;
    Ok(path)
}
