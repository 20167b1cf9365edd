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

/// Or what is wrong with the environment, for whoever wants to ask: a start has more to say to that than its first step.
static CONNECTED: Mutex<BTreeMap<PathBuf, Result<Connected, String>>> = Mutex::new(BTreeMap::new());

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
/// below `local`. That the environment lacks something is told to who opens it.
pub fn connect(root: &Path, local: &Path) {
    if is_address(root) {
        let connected = provider::place(root).and_then(|place| place.connect());
        let connected = connected.map(|connection| Connected { connection, local: local.to_owned() });
        locked(&CONNECTED).insert(root.to_owned(), connected.map_err(|error| error.to_string()));
    }
}

/// The bucket of this address; none if it is no address.
pub(super) fn connected(root: &Path) -> Result<Option<Connected>, ImageDirError> {
    if !is_address(root) {
        return Ok(None);
    }
    let found = locked(&CONNECTED).get(root).cloned();
    let found = found.unwrap_or_else(|| Err("nobody has connected to it".to_owned()));
    found.map(Some).map_err(|lacking| io_at("use", root)(io::Error::other(lacking)))
}
