//! All names in an image directory that is in a bucket, and what can be done with them: pure, with the words of rename(2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use serde::{Deserialize, Serialize};

use crate::backend::name::Name;
use crate::base::limits;

/// What the names object holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    version: u32,
    /// The marks of the latest changes, the last one at the end: whoever has not got an answer finds here whether it was done.
    latest: VecDeque<String>,
    root: Entries,
}

/// What is in a directory, by the last part of its name.
pub type Entries = BTreeMap<String, Entry>;

/// What has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// A number that nothing else has.
    pub identity: u64,
    /// What it is.
    pub what: What,
}

/// The kinds of what can have a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A directory.
    Directory(Entries),
    /// A small file.
    Text(String),
    /// A file whose contents are in objects of their own, one after the other.
    Blobs(Vec<Blob>),
}

/// An object with contents of a file, or with a part of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Its name, which is made up and never used again.
    pub id: String,
    /// How many bytes it has.
    pub size: u64,
}

impl Blob {
    /// Whether its name leads nowhere else.
    fn is_plain(&self) -> bool {
        !self.id.is_empty() && self.id.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// Reads only what tells whether the rest can be understood.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The version that this release writes.
const VERSION: u32 = 1;

impl Default for Names {
    fn default() -> Self {
        Self { version: VERSION, latest: VecDeque::new(), root: Entries::new() }
    }
}

impl Names {
    /// Reads the names object. Never panics, whatever is in it.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(bytes: &[u8]) -> io::Result<Self> {
        let damaged = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let wrong = |error: serde_json::Error| {
            damaged(format!("the names of the image directory are damaged: {error}"))
        };
        // Before anything else, since a later release may keep all else in other ways.
        let Versioned { version } = serde_json::from_slice(bytes).map_err(wrong)?;
        if version > VERSION {
            return Err(damaged(format!(
                "the names of the image directory have version {version}, and this crik {} reads up to {VERSION}; use the newer crik",
                env!("CARGO_PKG_VERSION")
            )));
        }
        let names: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        match stray(&names.root) {
            Some(name) => Err(damaged(format!("the names of the image directory are damaged: {name:?}"))),
            None => Ok(names),
        }
    }

    /// The names object.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // It has string keys and no cycles.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Notes the mark of a change.
    pub fn note(&mut self, mark: &str) {
        self.latest.push_back(mark.to_owned());
        let superfluous = self.latest.len().saturating_sub(limits::CHANGES_NOTED);
        self.latest.drain(..superfluous);
    }

    /// Whether a change with this mark is done.
    #[must_use]
    pub fn has(&self, mark: &str) -> bool {
        self.latest.iter().any(|noted| noted == mark)
    }

    /// The objects that files refer to.
    #[must_use]
    pub fn blobs(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        visit(&self.root, &mut |entry| {
            if let What::Blobs(blobs) = &entry.what {
                found.extend(blobs.iter().map(|blob| blob.id.as_str()));
            }
        });
        found
    }

    /// What has this name.
    ///
    /// # Errors
    /// Nothing has it.
    pub fn find(&self, name: &Name) -> io::Result<&Entry> {
        self.entries(&name.parent())?.get(name.last()).ok_or_else(|| errno(libc::ENOENT))
    }

    /// What is in a directory.
    ///
    /// # Errors
    /// It is not there, or none.
    pub fn entries(&self, directory: &Name) -> io::Result<&Entries> {
        directory
            .parts()
            .try_fold(&self.root, |entries, part| match &entries.get(part).ok_or(libc::ENOENT)?.what {
                What::Directory(entries) => Ok(entries),
                _ => Err(libc::ENOTDIR),
            })
            .map_err(errno)
    }

    fn entries_mut(&mut self, directory: &Name) -> io::Result<&mut Entries> {
        directory
            .parts()
            .try_fold(&mut self.root, |entries, part| {
                match &mut entries.get_mut(part).ok_or(libc::ENOENT)?.what {
                    What::Directory(entries) => Ok(entries),
                    _ => Err(libc::ENOTDIR),
                }
            })
            .map_err(errno)
    }

    /// Makes a directory, as mkdir(2) does.
    ///
    /// # Errors
    /// There is something of that name, or nothing to make it in.
    pub fn make(&mut self, directory: &Name, identity: u64) -> io::Result<()> {
        let entries = self.entries_mut(&directory.parent())?;
        if directory.is_root() || entries.contains_key(directory.last()) {
            return Err(errno(libc::EEXIST));
        }
        entries
            .insert(directory.last().to_owned(), Entry { identity, what: What::Directory(Entries::new()) });
        Ok(())
    }

    /// Makes a directory, with those that it is in, which get these numbers. False if it is there.
    ///
    /// # Errors
    /// One of them is none.
    pub fn make_all(&mut self, directory: &Name, identities: &[u64]) -> io::Result<bool> {
        let (mut name, mut made) = (Name::root(), false);
        for (part, identity) in directory.parts().zip(identities) {
            name = name.join(part);
            match self.make(&name, *identity) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    other?;
                    made = true;
                }
            }
        }
        self.entries(directory).map(|_| made).map_err(|_| errno(libc::EEXIST))
    }

    /// Whether they were never written.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.latest.is_empty()
    }

    /// Writes a file. One that is there keeps its number, as with O_TRUNC (open(2)).
    ///
    /// # Errors
    /// There is a directory of that name, or nothing to make it in.
    pub fn put(&mut self, file: &Name, mut entry: Entry) -> io::Result<()> {
        let entries = self.entries_mut(&file.parent())?;
        match entries.get(file.last()) {
            Some(Entry { what: What::Directory(_), .. }) => return Err(errno(libc::EISDIR)),
            Some(Entry { identity, .. }) => entry.identity = *identity,
            None if file.is_root() => return Err(errno(libc::EISDIR)),
            None => {}
        }
        entries.insert(file.last().to_owned(), entry);
        Ok(())
    }

    /// Gives something another name, as rename(2) does.
    ///
    /// # Errors
    /// It is not there; there is nothing to put it in; or what has the name already may not be replaced by it.
    pub fn rename(&mut self, from: &Name, to: &Name) -> io::Result<()> {
        // What is above them is looked at first.
        self.entries(&from.parent()).and(self.entries(&to.parent()))?;
        let moved = self.find(from)?.clone();
        // A directory does not go into itself.
        if to.is_below(from) {
            return Err(errno(libc::EINVAL));
        }
        if to.is_root() {
            return Err(errno(libc::EBUSY));
        }
        if from.is_below(to) {
            return Err(errno(libc::ENOTEMPTY));
        }
        match (&moved.what, self.find(to)) {
            (_, Err(error)) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
            (_, Err(_)) => {}
            (_, Ok(there)) if there.identity == moved.identity => return Ok(()),
            (What::Directory(_), Ok(Entry { what: What::Directory(entries), .. })) if entries.is_empty() => {}
            (What::Directory(_), Ok(Entry { what: What::Directory(_), .. })) => {
                return Err(errno(libc::ENOTEMPTY));
            }
            (What::Directory(_), Ok(_)) => return Err(errno(libc::ENOTDIR)),
            (_, Ok(Entry { what: What::Directory(_), .. })) => return Err(errno(libc::EISDIR)),
            _ => {}
        }
        self.entries_mut(&to.parent())?.insert(to.last().to_owned(), moved);
        self.entries_mut(&from.parent())?.remove(from.last());
        Ok(())
    }

    /// Removes what has this name, with all below it. False if nothing has it.
    ///
    /// # Errors
    /// What should be a directory above it is none.
    pub fn remove(&mut self, name: &Name) -> io::Result<bool> {
        match self.entries_mut(&name.parent()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            entries => Ok(entries?.remove(name.last()).is_some()),
        }
    }

    /// How many bytes a file has, or all that is below a directory.
    ///
    /// # Errors
    /// It is not there.
    pub fn stored(&self, name: &Name) -> io::Result<u64> {
        let mut bytes = 0;
        let mut add = |entry: &Entry| {
            bytes += match &entry.what {
                What::Directory(_) => 0,
                What::Text(text) => text.len() as u64,
                What::Blobs(blobs) => blobs.iter().map(|blob| blob.size).sum(),
            };
        };
        match self.entries(name) {
            Ok(entries) => visit(entries, &mut add),
            Err(_) => add(self.find(name)?),
        }
        Ok(bytes)
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn visit<'a>(entries: &'a Entries, seen: &mut impl FnMut(&'a Entry)) {
    for entry in entries.values() {
        seen(entry);
        if let What::Directory(entries) = &entry.what {
            visit(entries, seen);
        }
    }
}

/// A name in what somebody has written that is none, or leads to objects which are not of this image directory.
fn stray(entries: &Entries) -> Option<String> {
    entries.iter().find_map(|(name, entry)| {
        let is_part = !["", ".", ".."].contains(&name.as_str()) && !name.contains('/');
        match &entry.what {
            _ if !is_part => Some(name.clone()),
            What::Blobs(blobs) => blobs.iter().find(|blob| !blob.is_plain()).map(|blob| blob.id.clone()),
            What::Directory(entries) => stray(entries),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;
