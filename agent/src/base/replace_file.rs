//! Writes a file of the container that nobody may see half written.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Puts `contents` in the place of what is at `path`, if anything is, with the mode `mode`: written beside it, and renamed.
///
/// # Errors
/// The directory cannot be written.
pub fn replace_file(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, contents)?;
    fs::set_permissions(&partial, Permissions::from_mode(mode))?;
    fs::rename(&partial, path)
}
