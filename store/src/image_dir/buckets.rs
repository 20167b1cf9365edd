//! Image directories in buckets, by their addresses (`s3://…`).
//!
//! The threads that ask a bucket live as long as the process does, and cannot begin in a step ([`crate::base::step_thread`]), where image
//! directories are opened: so who begins a program connects first.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::backend::bucket::{Connection, provider};
use crate::base::panics::locked;
use crate::image_dir::error::{ImageDirError, io_at};

/// A bucket that can be asked, and where on this machine files of it may be.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Who asks.
    pub connection: Connection,
    /// A directory that is made if it is not there.
    pub local: PathBuf,
}

static CONNECTED: Mutex<BTreeMap<PathBuf, Connected>> = Mutex::new(BTreeMap::new());

/// Whether an image directory is told by the address of a bucket.
pub fn is_address(root: &Path) -> bool {
    provider::is_address(root)
}

/// Whether an image directory can be at this address; nothing is asked.
///
/// # Errors
/// It cannot, with an example of one at which it can.
pub fn check(root: &Path) -> io::Result<()> {
    provider::check(root)
}

/// Begins to ask the bucket of this address, of which nothing is asked yet; on a volume there is nothing to begin. Files of it will be
/// below `local`.
///
/// # Errors
/// The address is none, or what is configured for it cannot be.
pub fn connect(root: &Path, local: &Path) -> Result<(), ImageDirError> {
    if is_address(root) {
        let connection =
            provider::place(root).and_then(|place| place.connect()).map_err(io_at("use", root))?;
        locked(&CONNECTED).insert(root.to_owned(), Connected { connection, local: local.to_owned() });
    }
    Ok(())
}

/// The bucket of this address; none if it is no address.
pub(super) fn connected(root: &Path) -> Result<Option<Connected>, ImageDirError> {
    if !is_address(root) {
        return Ok(None);
    }
    let found = locked(&CONNECTED).get(root).cloned();
    let lacking = || io_at("use", root)(io::Error::other("nobody has connected to it"));
    found.ok_or_else(lacking).map(Some)
}
