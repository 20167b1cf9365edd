//! The image directory: what belongs to one workload replica on the shared volume, and who may change it. It imports `base`
//! alone, and does not know what lies in a generation.
//!
//! ```text
//! generations/00000007/   committed, immutable
//! claims/00000007.json    who resumes it, attempts, outcomes
//! holders/00000012/       the pod that may do either, and what it is about to commit
//! cut/00000007/           what was cut from files of the application when it was resumed
//! ended.json              if present, nothing older than it may be resumed
//! last-stop.json          why the last stop left no checkpoint
//! lines.json              if present, which generations are of another line of descent
//! ```
//!
//! Only rename, exclusive create and fsync are relied on, so that it works on NFS. Here is what anybody may do; what
//! changes the directory is done by its holder ([`crate::image_dir::hold`]).

pub mod attempts;
pub mod durable;
pub mod end_mark;
mod error;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixture;
mod heartbeat;
pub mod hold;
pub mod holder;
pub mod last_stop;
pub mod layout;
pub mod lines;
pub mod no_links;
pub mod pod;
pub mod probe;
pub mod resumable;
pub mod retention;
pub mod staging;
mod stand_apart;
mod strangers;
pub mod verdict;
pub mod waiting;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::base::watchdog::moved;
use crate::image_dir::durable::{ignore_missing, remove_tree, sync_directory};
pub use error::{ImageDirError, io_at};
use strangers::CUT;

/// The number of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The one that follows. None if that is more than is ever reached ([`limits::NUMBER_MAX`]).
    pub fn next(self) -> Option<Self> {
        following(self.0).map(Self)
    }
}

/// The number of the hold or the generation after this one.
fn following(number: u64) -> Option<u64> {
    number.checked_add(1).filter(|number| *number <= limits::NUMBER_MAX)
}

/// Reads a numbered name; anything but eight or more digits is not one of ours, nor is a number that is never reached.
fn parse_number(name: &str) -> Option<u64> {
    let number: u64 =
        (name.len() >= 8 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())??;
    (number <= limits::NUMBER_MAX).then_some(number)
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// An image directory that exists.
#[derive(Debug, Clone)]
pub struct ImageDir {
    root: PathBuf,
}

impl ImageDir {
    /// Opens `root` and makes what is missing of it, except for the directory that should hold it: were that made
    /// too, a forgotten volume would go unnoticed and checkpoints would go to the container's own layer.
    ///
    /// # Errors
    /// The volume is not there, or cannot be written.
    pub fn open(root: &Path) -> Result<Self, ImageDirError> {
        let parent = root.parent().unwrap_or(root);
        if !is_directory(parent).map_err(io_at("look at", parent))? {
            return Err(ImageDirError::NoParent { path: root.into(), parent: parent.into() });
        }
        let dir = Self { root: root.into() };
        dir.refuse_strangers()?;
        dir.make_root()?;
        for path in [dir.generations(), dir.attempts_directory(), dir.holders()] {
            moved();
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io_at("create", &path))?;
        }
        dir.refuse_links()?;
        Ok(dir)
    }

    fn make_root(&self) -> Result<(), ImageDirError> {
        let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(&self.root) else {
            return Ok(());
        };
        // What is known not to be there has nothing that could be resumed.
        let absent = self.root.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let (path, error) = (self.root.clone(), io_at("create", &self.root));
        Err(if absent { ImageDirError::Unmade { path, source } } else { error(source) })
    }

    /// Looks at `root` without changing anything, for which the right to read is enough.
    ///
    /// # Errors
    /// It is no image directory.
    pub fn look(root: &Path) -> Result<Self, ImageDirError> {
        let dir = Self { root: root.into() };
        fs::read_dir(root).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ImageDirError::Absent(root.into()),
            _ => io_at("read", root)(error),
        })?;
        if !dir.generations().is_dir() {
            return Err(ImageDirError::Foreign(root.into()));
        }
        dir.refuse_links()?;
        Ok(dir)
    }

    /// A directory that somebody uses for something else stays theirs: crik lists, renames and removes by name in its own.
    fn refuse_strangers(&self) -> Result<(), ImageDirError> {
        let own = [self.generations(), self.attempts_directory(), self.holders()];
        // A person may have removed one of them.
        if own.iter().filter(|path| path.is_dir()).count() > 1 {
            return Ok(());
        }
        match strangers::first(&self.root).map_err(io_at("read", &self.root))? {
            Some(name) => Err(ImageDirError::Occupied { path: self.root.clone(), name }),
            None => Ok(()),
        }
    }

    /// Where these directories lead is nobody's to choose; `imageDir` itself may be a link of the administrator's.
    fn refuse_links(&self) -> Result<(), ImageDirError> {
        for path in [self.generations(), self.attempts_directory(), self.holders(), self.root.join(CUT)] {
            moved();
            match path.symlink_metadata() {
                Ok(meta) if meta.is_symlink() => return Err(ImageDirError::Link(path)),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_at("look at", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True when it is on the same file system as `/`, and so most likely not on a volume at all.
    pub fn is_on_root_file_system(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
        device(&self.root) == device(Path::new("/"))
    }

    fn generations(&self) -> PathBuf {
        self.root.join("generations")
    }

    fn attempts_directory(&self) -> PathBuf {
        self.root.join("claims")
    }

    /// The directory of the holds.
    pub fn holders(&self) -> PathBuf {
        self.root.join("holders")
    }

    /// The directory of the hold `number`.
    pub fn hold(&self, number: u64) -> PathBuf {
        self.holders().join(format!("{number:08}"))
    }

    /// The number of the newest hold.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn newest_hold(&self) -> Result<Option<u64>, ImageDirError> {
        Ok(numbers(&self.holders())?.into_iter().max())
    }

    /// The directory of a committed generation.
    pub fn generation(&self, generation: Generation) -> PathBuf {
        self.generations().join(generation.to_string())
    }

    /// The directory of what was cut from files of the application when `generation` was resumed.
    pub fn cut(&self, generation: Generation) -> PathBuf {
        self.root.join(CUT).join(generation.to_string())
    }

    /// The file with the account of the attempts to resume a generation.
    pub fn attempts(&self, generation: Generation) -> PathBuf {
        self.attempts_directory().join(format!("{generation}.json"))
    }

    /// All committed generations, newest first.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn list(&self) -> Result<Vec<Generation>, ImageDirError> {
        let mut found: Vec<Generation> = numbers(&self.generations())?.into_iter().map(Generation).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Makes the entries of the generations durable.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn sync_generations(&self) -> Result<(), ImageDirError> {
        sync_directory(&self.generations()).and_then(|()| sync_directory(&self.root))
    }

    /// Makes the next look at the generations and at the mark of an end see what other machines wrote. NFS clients
    /// remember names and listings for up to a minute (nfs(5), `acdirmax`), except of directories that they have just
    /// changed themselves.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn refresh(&self) -> Result<(), ImageDirError> {
        for path in [self.generations(), self.attempts_directory(), self.root.clone()] {
            moved();
            let changed = path.join("refresh");
            fs::create_dir(&changed)
                .or_else(
                    |error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) },
                )
                .and_then(|()| ignore_missing(fs::remove_dir(&changed)))
                .map_err(io_at("write", &path))?;
        }
        Ok(())
    }

    /// Removes what was cut from files for generations that are not there any more: who removed them may have died before.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn sweep_cuts(&self) -> Result<(), ImageDirError> {
        let cut = self.root.join(CUT);
        let resumed = if cut.exists() { numbers(&cut)? } else { Vec::new() };
        let gone = resumed.into_iter().map(Generation).filter(|number| !self.generation(*number).exists());
        gone.map(|number| self.cut(number)).try_for_each(|path| remove_tree(&path))
    }
}

/// False only if it is known to be none: a volume that fails is not a volume that was forgotten.
fn is_directory(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(found?.is_dir()),
    }
}

/// The numbered names in a directory.
fn numbers(path: &Path) -> Result<Vec<u64>, ImageDirError> {
    let mut found = Vec::new();
    moved();
    for entry in fs::read_dir(path).map_err(io_at("read", path))? {
        let name = entry.map_err(io_at("read", path))?.file_name();
        found.extend(name.to_str().and_then(parse_number));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_volume_is_noticed() {
        let error = ImageDir::open(Path::new("/no-such-volume/job-0")).unwrap_err().to_string();
        assert_eq!(
            error,
            "imageDir /no-such-volume/job-0: /no-such-volume does not exist; mount the checkpoint volume there"
        );
    }

    #[test]
    fn generations_are_listed_newest_first_and_strangers_are_not() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(&volume.path().join("job-0")).unwrap();
        for name in
            ["00000009", "00000010", "100000000", "lost+found", "12", "0000001x", "18446744073709551615"]
        {
            fs::create_dir(dir.generations().join(name)).unwrap();
        }
        assert_eq!(dir.list().unwrap(), [Generation(100_000_000), Generation(10), Generation(9)]);
    }

    #[test]
    fn what_was_cut_goes_with_its_generation_and_nothing_else_is_touched() {
        let volume = tempfile::tempdir().unwrap();
        let dir = ImageDir::open(&volume.path().join("job-0")).unwrap();
        let theirs =
            ["staging/criu", "staging-mine/x", "removing-00000003/criu", "new-idea", "cut/00000003x"];
        for name in theirs.iter().chain(&["cut/00000003", "cut/00000004", "generations/00000004"]) {
            fs::create_dir_all(dir.root().join(name)).unwrap();
        }
        dir.sweep_cuts().unwrap();
        assert!(theirs.iter().all(|name| dir.root().join(name).exists()));
        assert!(!dir.cut(Generation(3)).exists() && dir.cut(Generation(4)).exists());
    }

    #[test]
    fn a_directory_of_somebody_elses_is_refused_and_left_as_it_is() {
        let volume = tempfile::tempdir().unwrap();
        let root = volume.path().join("data");
        fs::create_dir_all(root.join("generations/00000001")).unwrap();
        fs::create_dir(root.join("staging-mine")).unwrap();
        let error = ImageDir::open(&root).unwrap_err().to_string();
        assert!(error.contains("something in it that is not crik's (staging-mine)"), "{error}");
        assert!(error.contains("a directory of its own, such as"), "{error}");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
    }

    #[test]
    fn the_root_of_a_volume_and_what_was_begun_are_no_strangers() {
        let volume = tempfile::tempdir().unwrap();
        for name in ["lost+found", ".snapshot", "generations"] {
            fs::create_dir(volume.path().join(name)).unwrap();
        }
        fs::write(volume.path().join("failed-dump.log"), "").unwrap();
        let dir = ImageDir::open(volume.path()).unwrap();
        // From then on it is crik's, and what others put there stays.
        fs::create_dir(dir.root().join("staging-mine")).unwrap();
        ImageDir::open(volume.path()).unwrap();
        assert!(dir.root().join("staging-mine").exists());
    }
}
