//! Tells whether an image directory that is about to be made has something in it that is not crik's.

use std::io;

use crate::backend::{Backend, Name};
use crate::base::limits::CLOCK_FILE_NAME as CLOCKS;
use crate::image_dir::names::{CUT, PACKS};

/// What crik makes directly in an image directory, by the beginning of its name: the init and the library of the clocks too, where
/// a container has no other place for them.
const OWN: [&str; 13] = [
    "generations",
    "claims",
    "holders",
    PACKS,
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

/// The first name in it that is nobody's whom crik knows; none if it is not there yet.
///
/// # Errors
/// The volume cannot be read.
pub fn first(backend: &dyn Backend) -> io::Result<Option<String>> {
    let entries = match backend.list(&Name::root()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let names = entries.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| !is_expected(name)).min())
}

fn is_expected(name: &str) -> bool {
    name == OF_A_VOLUME || name.starts_with('.') || OWN.iter().any(|own| name.starts_with(own))
}
