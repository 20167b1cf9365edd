//! Writes a file of the container that nobody may see half written, in a directory in which others may have put links.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::base::limits;

/// Puts `contents` in the place of what is at `path`, if anything is, with the mode `mode`: written beside it, and renamed.
///
/// # Errors
/// The directory cannot be written.
pub fn replace_file(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let (partial, mut file) = partial(path)?;
    let written = file
        .write_all(contents)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&partial, path));
    written.inspect_err(|_| drop(fs::remove_file(&partial)))
}

/// What a file beside `path` is called that is to be renamed to it: nobody can know it before, since a link under it could lead
/// anywhere.
///
/// # Errors
/// The kernel gives no random number.
pub fn partial_name(path: &Path) -> io::Result<PathBuf> {
    let unique = fs::read_to_string(limits::RANDOM_UUID)?;
    Ok(path.with_extension(format!("{}.partial", unique.trim())))
}

/// Makes a file of that name, and never opens one that is there.
///
/// # Errors
/// The directory cannot be written.
pub fn partial(path: &Path) -> io::Result<(PathBuf, File)> {
    let partial = partial_name(path)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    Ok((partial, file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let [victim, path] = ["victim", "file"].map(|name| directory.path().join(name));
        fs::write(&victim, "theirs").unwrap();
        symlink(&victim, &path).unwrap();
        symlink(&victim, path.with_extension("partial")).unwrap();
        replace_file(&path, b"ours", 0o755).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }
}
