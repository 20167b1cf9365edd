//! The list of what went along: each thing with what it is besides its contents, as its source had it. The volume is never asked
//! for that, since it may keep neither owners nor modes.
//!
//! The contents lie one after the other in a file of their own: a few thousand small files would each cost a network file system
//! several round trips, twice. It is no tar, because a hole must stay a hole at the other end without being read, and because
//! times, attributes and names would be in extensions of it anyway.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::places::Place;
use crate::base::limits;
use crate::carry::name_text::{escape, unescape};

/// The version that this release writes, and the newest that it reads.
const VERSION: u32 = 1;

/// All that went along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// Version of this format.
    version: u32,
    /// Where it was.
    pub places: Vec<Place>,
    /// All of it; what holds other things comes before them.
    pub entries: Vec<Entry>,
}

/// One thing in a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Which of the places it is in.
    pub place: usize,
    /// Where it is in the container.
    #[serde(serialize_with = "escaped", deserialize_with = "unescaped")]
    pub path: PathBuf,
    /// What it is.
    pub what: What,
    /// What it has besides.
    pub attributes: Attributes,
    /// Whether the image had it too, as far as that is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_image: bool,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A directory; with all names in it, if they are not those of the image.
    Directory(Option<Vec<Name>>),
    /// A file.
    File(Contents),
    /// Another name of a file that comes before it.
    #[serde(serialize_with = "escaped", deserialize_with = "unescaped")]
    HardLink(PathBuf),
    /// A symbolic link, and where it leads.
    #[serde(serialize_with = "escaped", deserialize_with = "unescaped")]
    Link(PathBuf),
    /// A named pipe.
    Pipe,
    /// A device node.
    Device {
        /// Whether it is one of blocks, and not of characters.
        block: bool,
        /// Which device.
        number: u64,
    },
}

/// What a file contains. What no extent covers is a hole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its size in bytes.
    pub size: u64,
    /// Where its first extent lies in the file of contents.
    pub start: u64,
    /// Offset and length of each of its extents; they follow one another in the file of contents.
    pub extents: Vec<(u64, u64)>,
}

impl Contents {
    /// Bytes that are not holes.
    pub fn stored(&self) -> u64 {
        self.extents.iter().map(|(_, length)| length).sum()
    }
}

/// Owner, mode, times and extended attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Its mode, without the type.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was last read, in seconds and nanoseconds since 1970.
    pub accessed: (i64, i64),
    /// When it was last written.
    pub modified: (i64, i64),
    /// Its extended attributes (xattr(7)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended: Vec<(Name, Name)>,
}

impl Attributes {
    /// Those of what is at `path`.
    pub fn of(path: &Path, meta: &std::fs::Metadata) -> Self {
        Self {
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            accessed: (meta.atime(), meta.atime_nsec()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            extended: extended(path),
        }
    }
}

/// A file system without extended attributes has none. The label of SELinux is the pod's own and not the file's.
fn extended(path: &Path) -> Vec<(Name, Name)> {
    let names = xattr::list(path).into_iter().flatten().filter(|name| name != "security.selinux");
    let pair =
        |name: OsString| Some((Name(name.clone()), Name(OsString::from_vec(xattr::get(path, &name).ok()??))));
    names.filter_map(pair).collect()
}

/// Bytes that are mostly text: JSON has no others, and a file may have any name. What is no UTF-8, and the percent sign, are
/// written as in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub OsString);

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(unescape(&String::deserialize(deserializer)?)))
    }
}

fn escaped<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&escape(path.as_os_str()))
}

fn unescaped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(PathBuf::from(unescape(&String::deserialize(deserializer)?)))
}

impl List {
    /// Of these, in any order.
    pub fn new(places: Vec<Place>, entries: Vec<Entry>) -> Self {
        Self { version: VERSION, places, entries }
    }

    /// The file's contents, which [`List::read`] is sure to accept.
    ///
    /// # Errors
    /// It is too large: a generation with it could never be resumed.
    pub fn to_json(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        if json.len() as u64 > limits::CARRIED_LIST_MAX_BYTES {
            let many = self.entries.len();
            return Err(io::Error::other(format!(
                "{many} files are too many to go along; see carry.exclude"
            )));
        }
        Ok(json)
    }

    /// Reads a list that a stranger may have written, of contents that have `stored` bytes.
    ///
    /// # Errors
    /// It is none, or would put something to where it does not belong.
    pub fn read(file: impl Read, stored: u64) -> io::Result<Self> {
        let bounded = BufReader::new(file).take(limits::CARRIED_LIST_MAX_BYTES);
        let list: Self = serde_json::from_reader(bounded)?;
        if list.version > VERSION {
            let version = list.version;
            return Err(bad(&format!(
                "has version {version}, and this crik reads up to {VERSION}; use the newer crik"
            )));
        }
        match list.entries.iter().find(|entry| !list.is_sound(entry, stored)) {
            Some(entry) => Err(bad(&format!("cannot be: {}", entry.path.display()))),
            None => Ok(list),
        }
    }

    /// Whether an entry is in its place, and its contents are there.
    fn is_sound(&self, entry: &Entry, stored: u64) -> bool {
        let is_in_place = self
            .places
            .get(entry.place)
            .is_some_and(|place| is_plain(&place.path) && entry.path.starts_with(&place.path));
        is_plain(&entry.path)
            && is_in_place
            && match &entry.what {
                What::File(contents) => contents.is_sound(stored),
                What::HardLink(to) => is_plain(to),
                What::Directory(Some(names)) => names.iter().all(|name| is_one_part(&name.0)),
                What::Directory(None) | What::Link(_) | What::Pipe | What::Device { .. } => true,
            }
    }
}

impl Contents {
    fn is_sound(&self, stored: u64) -> bool {
        let mut end = 0_u64;
        let follow = self.extents.iter().all(|(offset, length)| {
            let follows = *offset >= end;
            end = offset.saturating_add(*length);
            follows && end <= self.size
        });
        // The sum does not overflow: the extents lie one after the other within the size.
        follow && i64::try_from(self.size).is_ok() && self.start.saturating_add(self.stored()) <= stored
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the list of files that went along {what}"))
}

/// An absolute path that does not go up.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().skip(1).all(|part| matches!(part, Component::Normal(_)))
}

fn is_one_part(name: &OsStr) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(part)) if part == name) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::places::PlaceKind;
    use super::*;
    use std::io::{Seek as _, Write as _};
    use std::os::unix::ffi::OsStrExt as _;

    fn read(entry: Entry) -> io::Result<List> {
        let list = List::new(vec![Place { path: "/data".into(), kind: PlaceKind::EmptyDir }], vec![entry]);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&list.to_json().unwrap()).unwrap();
        file.rewind().unwrap();
        List::read(file, 100)
    }

    fn entry(path: &str, what: What) -> Entry {
        Entry { place: 0, path: path.into(), what, attributes: Attributes::default(), of_image: false }
    }

    #[test]
    fn any_name_comes_back() {
        for name in [&b"plain"[..], b"50%", b"\xff\xfe", "Ünïcode %zz".as_bytes(), b"%41"] {
            let path = Path::new("/data").join(OsStr::from_bytes(name));
            let list = read(Entry { path: path.clone(), ..entry("/", What::Pipe) }).unwrap();
            assert_eq!(list.entries[0].path, path);
        }
    }

    #[test]
    fn nothing_leads_out_of_its_place_or_of_the_contents() {
        let file = |size, start, extents| What::File(Contents { size, start, extents });
        assert!(read(entry("/data/a", file(10, 90, vec![(0, 4), (4, 6)]))).is_ok());
        for (path, what) in [
            ("/etc/passwd", What::Pipe),
            ("/data/../etc/passwd", What::Pipe),
            ("data/a", What::Pipe),
            ("/data", What::Directory(Some(vec![Name("..".into())]))),
            ("/data", What::Directory(Some(vec![Name("a/b".into())]))),
            ("/data/a", What::HardLink("../a".into())),
            ("/data/a", file(10, 95, vec![(0, 6)])),
            ("/data/a", file(10, 0, vec![(5, 6)])),
            ("/data/a", file(10, 0, vec![(4, 2), (0, 1)])),
            ("/data/a", file(u64::MAX, 0, vec![])),
            ("/data/a", file(10, u64::MAX, vec![(0, 1)])),
        ] {
            assert!(read(entry(path, what.clone())).is_err(), "{path} {what:?}");
        }
    }
}
