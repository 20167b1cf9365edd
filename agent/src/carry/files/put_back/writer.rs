//! Writes one thing after the other into the container.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crik_store::backend::no_links;
use crik_store::generation::parts::Part;
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;

use super::attributes::{apply, apply_on_volume};
use super::journal::Journal;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::carry::files::error::{PutBackError, putting};
use crate::carry::files::list::{Attributes, Contents, Entry, Name, What};
use crate::carry::files::places::{PlaceKind, kind};
use crate::carry::files::spared::Spared;

/// Writes into the container, and notes what it does.
pub struct Writer<'a> {
    data: Part,
    spared: &'a Spared,
    headway: &'a Arc<Headway>,
    journal: Journal,
    /// The attributes that directories get at the end: what comes into them changes their times.
    directories: Vec<(PathBuf, Attributes)>,
    /// Those whose names are not those of the image.
    changed: BTreeSet<PathBuf>,
    /// The files that have been written.
    files: BTreeSet<PathBuf>,
    /// How many files were put back.
    pub put: usize,
    /// What was there and was not at the checkpoint.
    pub removed: Vec<PathBuf>,
    /// What the program had changed of its image, and this image does not have.
    pub of_another_image: Vec<PathBuf>,
}

impl<'a> Writer<'a> {
    /// With the contents in `data`, until it is given up.
    pub fn new(data: Part, spared: &'a Spared, headway: &'a Arc<Headway>) -> Self {
        let (directories, removed, of_another_image) = (Vec::new(), Vec::new(), Vec::new());
        let (journal, changed, files) = (Journal::of(headway), BTreeSet::new(), BTreeSet::new());
        Self {
            data,
            spared,
            headway,
            journal,
            directories,
            changed,
            files,
            put: 0,
            removed,
            of_another_image,
        }
    }

    /// What is left alone.
    pub fn spared(&self) -> &'a Spared {
        self.spared
    }

    /// What was done.
    pub fn journal(self) -> Journal {
        self.journal
    }

    /// Makes the directories that lead to `path`.
    ///
    /// # Errors
    /// Something else is there.
    pub fn make_parents(&mut self, path: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|path| !path.is_dir()).collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(path)?;
            self.journal.made(path);
        }
        Ok(())
    }

    /// Puts an entry back to `here`; `map` says where in this container the names of its place are.
    ///
    /// # Errors
    /// It cannot be written, or what leads to it is a link.
    pub fn put(
        &mut self,
        here: &Path,
        entry: &Entry,
        kind: PlaceKind,
        map: &dyn Fn(&Path) -> PathBuf,
    ) -> io::Result<()> {
        self.headway.go_on(0)?;
        let spot = Spot::of(here)?;
        if let What::Directory(names) = &entry.what {
            return self.directory(here, &spot, names.as_deref(), kind, &entry.attributes);
        }
        self.put += 1;
        self.note_another_image(here, &spot, entry, kind);
        if self.spared.mounts().at(here).is_some() {
            return self.in_place(here, &spot, entry);
        }
        self.make_free(here, &spot)?;
        match &entry.what {
            What::File(contents) => self.file(&spot.path(), contents)?,
            What::HardLink(to) => return self.hard_link(&map(to), here, &spot),
            What::Link(to) => symlink(to, spot.path())?,
            What::Pipe => mkfifo(&spot.path(), Mode::S_IRUSR | Mode::S_IWUSR)?,
            What::Device { block, number } => {
                let made = device(&spot.path(), *block, *number);
                if let Err(error) = made {
                    tracing::warn!(
                        "{} is a device node and is not there any more: {error}; to make one takes the capability MKNOD",
                        here.display()
                    );
                    return Ok(());
                }
            }
            What::Directory(_) => {}
        }
        self.journal.made(here);
        self.files.insert(here.to_owned());
        self.apply(here, &spot, &entry.attributes)
    }

    fn apply(&self, here: &Path, spot: &Spot, wanted: &Attributes) -> io::Result<()> {
        let mounts = self.spared.mounts();
        let point = mounts.of(here);
        let is_volume =
            point != Path::new("/") && mounts.at(point).is_some_and(|mount| kind(point, mount).is_none());
        if is_volume { apply_on_volume(&spot.path(), wanted) } else { apply(&spot.path(), wanted) }
    }

    fn hard_link(&mut self, to: &Path, here: &Path, spot: &Spot) -> io::Result<()> {
        // Nothing else that the container has gets a second name.
        if !self.files.contains(to) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is a name of a file that did not go along",
            ));
        }
        fs::hard_link(Spot::of(to)?.path(), spot.path())?;
        self.journal.made(here);
        Ok(())
    }

    /// In a directory that has not changed, the image has all names.
    fn note_another_image(&mut self, here: &Path, spot: &Spot, entry: &Entry, kind: PlaceKind) {
        let parent = here.parent().unwrap_or(here);
        let of_image = entry.of_image || !self.changed.contains(parent);
        if kind == PlaceKind::Layer && of_image && spot.path().symlink_metadata().is_err() {
            self.of_another_image.push(here.to_owned());
        }
    }

    fn directory(
        &mut self,
        here: &Path,
        spot: &Spot,
        names: Option<&[Name]>,
        kind: PlaceKind,
        wanted: &Attributes,
    ) -> io::Result<()> {
        let there = spot.path().symlink_metadata();
        if there.as_ref().is_ok_and(|meta| !meta.is_dir()) {
            self.journal.move_away(here, self.spared.mounts())?;
        }
        if !there.is_ok_and(|meta| meta.is_dir()) {
            fs::create_dir(spot.path())?;
            self.journal.made(here);
            self.changed.insert(here.to_owned());
            self.directories.push((here.to_owned(), wanted.clone()));
            return Ok(());
        }
        let had = self.journal.changing(here)?;
        let Some(names) = names else {
            self.directories.push((here.to_owned(), had));
            return Ok(());
        };
        self.changed.insert(here.to_owned());
        self.directories.push((here.to_owned(), wanted.clone()));
        let names: BTreeSet<&OsStr> = names.iter().map(|name| name.0.as_os_str()).collect();
        self.remove_others(here, &names, kind)
    }

    /// Removes what is in a directory and has none of these names.
    fn remove_others(
        &mut self,
        directory: &Path,
        names: &BTreeSet<&OsStr>,
        kind: PlaceKind,
    ) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if !names.contains(entry.file_name().as_os_str()) && !self.is_left(&entry.path(), kind) {
                self.removed.push(entry.path());
                self.remove(&entry.path(), kind)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path, kind: PlaceKind) -> io::Result<()> {
        if !path.symlink_metadata()?.is_dir() {
            return self.journal.move_away(path, self.spared.mounts());
        }
        for entry in fs::read_dir(path)? {
            let inside = entry?.path();
            if !self.is_left(&inside, kind) {
                self.remove(&inside, kind)?;
            }
        }
        self.journal.remove_directory(path)
    }

    fn is_left(&self, path: &Path, kind: PlaceKind) -> bool {
        let spared = !kind.is_named() && self.spared.covers(path);
        spared || self.spared.mounts().any_below(path) || self.journal.is_aside(path)
    }

    /// Over what is there would be through its other names, and under whoever has it open.
    fn make_free(&mut self, here: &Path, spot: &Spot) -> io::Result<()> {
        match spot.path().symlink_metadata() {
            Ok(meta) if meta.is_dir() => self.remove(here, PlaceKind::Additional),
            Ok(_) => self.journal.move_away(here, self.spared.mounts()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A file that is itself a mount cannot be replaced by name.
    fn in_place(&mut self, here: &Path, spot: &Spot, entry: &Entry) -> io::Result<()> {
        let What::File(contents) = &entry.what else { return Err(io::ErrorKind::ResourceBusy.into()) };
        let file =
            OpenOptions::new().write(true).truncate(true).custom_flags(libc::O_NOFOLLOW).open(spot.path())?;
        self.copy(contents, file)?;
        self.apply(here, spot, &entry.attributes)
    }

    fn file(&mut self, path: &Path, contents: &Contents) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        self.copy(contents, file)
    }

    fn copy(&mut self, contents: &Contents, mut file: File) -> io::Result<()> {
        self.data.seek(SeekFrom::Start(contents.start))?;
        for (offset, length) in &contents.extents {
            file.seek(SeekFrom::Start(*offset))?;
            self.copy_part(*length, &mut file)?;
        }
        file.set_len(contents.size)
    }

    /// A piece at a time: whoever was given up writes no more.
    fn copy_part(&mut self, length: u64, file: &mut File) -> io::Result<()> {
        let mut piece =
            vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(limits::LARGEST_PIECE_BYTES)];
        let mut left = length;
        while left > 0 {
            let part = left.min(piece.len() as u64) as usize;
            self.data.read_exact(&mut piece[..part])?;
            self.headway.go_on(part as u64)?;
            file.write_all(&piece[..part])?;
            left -= part as u64;
        }
        Ok(())
    }

    /// Gives the directories what they had, the innermost first.
    ///
    /// # Errors
    /// The file system cannot be written.
    pub fn finish(&mut self) -> Result<(), PutBackError> {
        while let Some((path, attributes)) = self.directories.pop() {
            Spot::of(&path).and_then(|spot| self.apply(&path, &spot, &attributes)).map_err(putting(&path))?;
        }
        Ok(())
    }
}

/// A name in a directory that no link leads to.
struct Spot {
    /// None for the root.
    directory: Option<(OwnedFd, PathBuf)>,
}

impl Spot {
    fn of(path: &Path) -> io::Result<Self> {
        let Some((parent, name)) = path.parent().zip(path.file_name()) else {
            return Ok(Self { directory: None });
        };
        let parent = parent.strip_prefix("/").unwrap_or(parent);
        Ok(Self { directory: Some((no_links::directory(Path::new("/"), parent)?, PathBuf::from(name))) })
    }

    /// By the descriptor, so that it leads nowhere else.
    fn path(&self) -> PathBuf {
        match &self.directory {
            Some((directory, name)) => {
                Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
            }
            None => PathBuf::from("/"),
        }
    }
}

/// Makes a device node (mknod(2)).
fn device(path: &Path, block: bool, number: u64) -> io::Result<()> {
    let kind = if block { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    Ok(mknod(path, kind, Mode::S_IRUSR | Mode::S_IWUSR, number)?)
}
