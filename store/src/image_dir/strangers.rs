//! Tells whether an image directory that is about to be made has something in it that is not crik's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::base::limits::CLOCK_FILE_NAME as CLOCKS;

/// The directory of what was cut from files of the application.
pub const CUT: &str = "cut";

/// What crik makes directly in an image directory, by the beginning of its name: the init and the library of the clocks too, where
/// a container has no other place for them.
const OWN: [&str; 12] = [
    "generations",
    "claims",
    "holders",
    CUT,
    "ended.json",
    "damaged-ended.json",
    "lines.json",
    "last-stop.json",
    "failed-",
    "refresh",
    "init-",
    CLOCKS,
];

/// What the root of a volume has by itself, besides names that begin with a dot.
const OF_A_VOLUME: &str = "lost+found";

/// The first name in `root` that is nobody's whom crik knows; none if it is not there yet.
///
/// # Errors
/// The volume cannot be read.
pub fn first(root: &Path) -> io::Result<Option<OsString>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut found: Vec<OsString> = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    found.retain(|name| !is_expected(&name.to_string_lossy()));
    found.sort();
    Ok(found.into_iter().next())
}

fn is_expected(name: &str) -> bool {
    name == OF_A_VOLUME || name.starts_with('.') || OWN.iter().any(|own| name.starts_with(own))
}
