//! Where an image directory is: what can be done with the names in it. It knows nothing of holds or generations, and imports `base`
//! alone.
//!
//! All that the protocol of the image directory rests on is here, with the words and errors of rename(2) and its like: one who follows
//! a name that was renamed or removed is told `NotFound`, whoever did it.

pub mod bucket;
pub mod directory;
pub mod durable;
pub mod large;
mod name;
pub mod no_links;

use std::fmt::Debug;
use std::io;
use std::path::Path;

use large::{Sink, Source};
pub use name::Name;

/// The operations. Each is done whole or not at all; an error may only mean that the answer was lost.
pub trait Backend: Debug + Send + Sync {
    /// Where it is, as people are told it: on a volume its path.
    fn root(&self) -> &Path;

    /// Makes a directory of which there is none yet.
    ///
    /// # Errors
    /// There is something of that name, or nothing to make it in; or it cannot be written.
    fn make(&self, directory: &Name) -> io::Result<()>;

    /// Makes a directory, with those that it is in, if it is not there.
    ///
    /// # Errors
    /// It cannot be written.
    fn make_all(&self, directory: &Name) -> io::Result<()>;

    /// The contents of a file, or the first `most` bytes of them. No link is followed.
    ///
    /// # Errors
    /// It cannot be read; `InvalidData` if it is no file.
    fn read(&self, file: &Name, most: u64) -> io::Result<Vec<u8>>;

    /// Writes a file, new or in the place of another one; its contents outlast a loss of power, its name need not before [`Backend::sync`].
    ///
    /// # Errors
    /// It cannot be written.
    fn create(&self, file: &Name, contents: &[u8]) -> io::Result<()>;

    /// The same, and nothing of it need outlast a loss of power.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self, file: &Name, contents: &[u8]) -> io::Result<()>;

    /// Begins a large file, of which there is none yet.
    ///
    /// # Errors
    /// There is something of that name, or it cannot be written.
    fn begin(&self, file: &Name) -> io::Result<Box<dyn Sink>>;

    /// Opens a large file. No link is followed.
    ///
    /// # Errors
    /// It is not there, is no file, or cannot be read.
    fn open(&self, file: &Name) -> io::Result<Box<dyn Source>>;

    /// Gives something another name, as rename(2) does: in place of a file, or of a directory with nothing in it.
    ///
    /// # Errors
    /// It is not there, or has a name already that it may not take; or it cannot be written.
    fn rename(&self, from: &Name, to: &Name) -> io::Result<()>;

    /// Gives all that is in a directory a place in another one, under the same names; if it is not there, nothing is in it.
    ///
    /// # Errors
    /// As of [`Self::rename`]; some may have their new place then.
    fn rename_all(&self, from: &Name, to: &Name) -> io::Result<()> {
        let found = match self.list(from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        found.iter().try_for_each(|entry| self.rename(&from.join(&entry.name), &to.join(&entry.name)))
    }

    /// Removes what has this name, with all below it; if nothing has it that is no error.
    ///
    /// # Errors
    /// It cannot be written.
    fn remove(&self, name: &Name) -> io::Result<()>;

    /// What is in a directory, in any order.
    ///
    /// # Errors
    /// It cannot be read, or is no directory.
    fn list(&self, directory: &Name) -> io::Result<Vec<Listed>>;

    /// What has this name. No link is followed.
    ///
    /// # Errors
    /// Nothing has it, or it cannot be read.
    fn look(&self, name: &Name) -> io::Result<Look>;

    /// Makes the names in a directory outlast a loss of power.
    ///
    /// # Errors
    /// It cannot be written.
    fn sync(&self, directory: &Name) -> io::Result<()>;

    /// Lets the next look at a directory see what others have written.
    ///
    /// # Errors
    /// It cannot be written.
    fn refresh(&self, directory: &Name) -> io::Result<()>;

    /// How many bytes all takes that is below a name.
    ///
    /// # Errors
    /// It cannot be read.
    fn stored(&self, directory: &Name) -> io::Result<u64>;

    /// How many more bytes there is room for; as many as can be counted where nobody knows.
    ///
    /// # Errors
    /// It cannot be read.
    fn free(&self) -> io::Result<u64>;

    /// Why what is superfluous stays there, if that is known: who may write may not always remove.
    fn refuses_removal(&self) -> Option<String> {
        None
    }

    /// Removes what is left of files that were removed or never got a name, for who has this hold: only below it somebody may be about to
    /// name what is written already.
    ///
    /// # Errors
    /// Something is left; or the hold is gone, and nothing was removed.
    fn sweep(&self, hold: &Name) -> io::Result<()>;
}

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The last part of its name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What it is.
    pub kind: Kind,
    /// A number that it keeps when it is renamed, and that nothing else has meanwhile.
    pub identity: u64,
}

/// The kinds of what can have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link, which crik never makes.
    Link,
    /// A file.
    File,
}

#[cfg(test)]
mod tests;
