//! Takes along what was found: its contents into one file, what else it is into a list.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crik_store::generation::parts::{NewPart, NewParts};
use crik_store::image_dir::layout;

use super::error::{CarryError, taking};
use super::holes::extent;
use super::list::{Attributes, Contents, Entry, List, Name, What};
use super::others::is_hidden;
use super::pace::Pace;
use super::places::{Place, PlaceKind};
use super::walk::Found;
use crate::base::units;

/// What has been taken.
pub struct Taken {
    places: Vec<Place>,
    entries: Vec<Entry>,
    /// The name under which a file was taken, by its device and inode.
    names: HashMap<(u64, u64), PathBuf>,
    end: u64,
    left: Vec<PathBuf>,
    output: Output,
    pace: Pace,
}

/// Where it goes on the volume. It is opened once, and before the tree is frozen if the volume answers, so that one who is given up
/// touches no other.
pub struct Output {
    list: (PathBuf, NewPart),
    data: (PathBuf, NewPart),
}

impl Output {
    /// Among the parts of a generation that is made.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn create(parts: &NewParts) -> Result<Self, CarryError> {
        let create = |name| {
            let path = parts.staging().join(name);
            let made = parts.create(name).map_err(taking(&path))?;
            Ok((path, made))
        };
        Ok(Self { list: create(layout::CARRIED_LIST)?, data: create(layout::CARRIED_DATA)? })
    }
}

/// How much went along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files and bytes of each kind of place.
    pub of: BTreeMap<PlaceKind, (usize, u64)>,
    /// What is somebody else's, and cannot be read.
    pub left: Vec<PathBuf>,
}

impl Summary {
    /// How many files, without crik's own.
    pub fn files(&self) -> usize {
        self.programs().map(|(_, (files, _))| files).sum()
    }

    /// For a line in the log; none if nothing went along.
    pub fn told(&self) -> Option<String> {
        let told = |(kind, (files, bytes)): (PlaceKind, (usize, u64))| {
            let plural = if files == 1 { "" } else { "s" };
            format!("{files} file{plural}, {}, of {}", units::bytes(bytes), kind.name())
        };
        let told: Vec<String> = self.programs().map(told).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn programs(&self) -> impl Iterator<Item = (PlaceKind, (usize, u64))> {
        self.of.iter().map(|(kind, of)| (*kind, *of)).filter(|(kind, _)| *kind != PlaceKind::Own)
    }
}

impl Taken {
    /// Nothing yet, of these places.
    pub fn new(places: Vec<Place>, output: Output) -> Self {
        let (entries, names, left) = (Vec::new(), HashMap::new(), Vec::new());
        Self { places, entries, names, end: 0, left, output, pace: Pace::default() }
    }

    /// Takes all that was `found`, unless nobody waits any more.
    ///
    /// # Errors
    /// A file cannot be read, or the volume not be written.
    pub fn take(&mut self, found: &[Found], given_up: impl Fn() -> bool) -> Result<(), CarryError> {
        for found in found {
            if given_up() {
                return Err(CarryError::GivenUp);
            }
            if found.hidden {
                self.left.push(found.path.clone());
                continue;
            }
            match self.what(found, &given_up) {
                // It has gone meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_hidden(&found.meta, &error) => self.left.push(found.path.clone()),
                what => self.add(found, what.map_err(taking(&found.path))?),
            }
        }
        Ok(())
    }

    fn add(&mut self, found: &Found, what: Option<What>) {
        let Some(what) = what else { return };
        let attributes = Attributes::of(&found.path, &found.meta);
        let (path, of_image) = (found.path.clone(), found.of_image);
        self.entries.push(Entry { place: found.place, path, what, attributes, of_image });
    }

    /// None for what is not taken: CRIU makes sockets anew.
    fn what(&mut self, found: &Found, given_up: &dyn Fn() -> bool) -> io::Result<Option<What>> {
        let kind = found.meta.file_type();
        Ok(if kind.is_dir() {
            let named = |names: &Vec<OsString>| names.iter().cloned().map(Name).collect();
            Some(What::Directory(found.names.as_ref().map(named)))
        } else if kind.is_symlink() {
            Some(What::Link(std::fs::read_link(&found.path)?))
        } else if kind.is_fifo() {
            Some(What::Pipe)
        } else if kind.is_file() {
            Some(self.file(found, given_up)?)
        } else if kind.is_char_device() || kind.is_block_device() {
            Some(What::Device { block: kind.is_block_device(), number: found.meta.rdev() })
        } else {
            None
        })
    }

    fn file(&mut self, found: &Found, given_up: &dyn Fn() -> bool) -> io::Result<What> {
        let key = (found.meta.dev(), found.meta.ino());
        let other = self.names.get(&key).filter(|other| self.is_in_reach(found, other));
        if let Some(other) = other {
            return Ok(What::HardLink(other.clone()));
        }
        let contents = self.contents(&found.path, given_up)?;
        self.names.insert(key, found.path.clone());
        Ok(What::File(contents))
    }

    /// Names of one file are in one place.
    fn is_in_reach(&self, found: &Found, other: &Path) -> bool {
        other.starts_with(&self.places[found.place].path)
    }

    fn contents(&mut self, path: &Path, given_up: &dyn Fn() -> bool) -> io::Result<Contents> {
        let mut file =
            OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
        let mut contents = Contents { size: file.metadata()?.len(), start: self.end, extents: Vec::new() };
        let mut at = 0;
        while let Some((offset, end)) = extent(&file, at, contents.size)? {
            file.seek(SeekFrom::Start(offset))?;
            let copied =
                self.pace.copy(&mut (&file).take(end - offset), &mut self.output.data.1, given_up)?;
            self.end += copied;
            if copied > 0 {
                contents.extents.push((offset, copied));
            }
            at = end;
        }
        Ok(contents)
    }

    /// Writes the list, and says how much it is.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn finish(mut self, given_up: impl Fn() -> bool) -> Result<Summary, CarryError> {
        let summary = self.summary();
        let (path, mut file) = self.output.list;
        let json = List::new(self.places, self.entries).to_json().map_err(taking(&path))?;
        self.pace.copy(&mut &*json, &mut file, &given_up).map_err(taking(&path))?;
        file.finish().and_then(|()| self.output.data.1.finish()).map_err(taking(&path))?;
        Ok(summary)
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary { left: self.left.clone(), ..Summary::default() };
        let files = self.entries.iter().filter(|entry| !matches!(entry.what, What::Directory(_)));
        for entry in files {
            let (count, bytes) = summary.of.entry(self.places[entry.place].kind).or_default();
            *count += 1;
            *bytes += if let What::File(contents) = &entry.what { contents.stored() } else { 0 };
        }
        summary
    }

    /// Writes down what came into directories since they were taken.
    pub fn rename(&mut self, found: &[Found]) {
        let names: HashMap<&Path, &Vec<OsString>> =
            found.iter().filter_map(|found| Some((found.path.as_path(), found.names.as_ref()?))).collect();
        for entry in &mut self.entries {
            if let (What::Directory(known), Some(names)) = (&mut entry.what, names.get(entry.path.as_path()))
            {
                *known = Some(names.iter().cloned().map(Name).collect());
            }
        }
    }
}
