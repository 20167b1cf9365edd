//! The image directory: what belongs to one workload replica on a shared volume or in a bucket, and who may change it. It imports
//! `backend` and `base`, and does not know what lies in a generation.
//!
//! ```text
//! generations/00000007/   committed, immutable
//! claims/00000007.json    who resumes it, attempts, outcomes
//! holders/00000012/       the pod that may do either, and what it is about to commit
//! packs/                  what the streams of generations consist of
//! cut/00000007/           what was cut from files of the application when it was resumed
//! ended.json              if present, nothing older than it may be resumed
//! last-stop.json          why the last stop left no checkpoint
//! lines.json              if present, which generations are of another line of descent
//! ```
//!
//! Here is what anybody may do; what changes the directory is done by its holder ([`crate::image_dir::hold`]).

pub mod attempts;
pub mod buckets;
pub mod end_mark;
mod error;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixture;
pub mod format_version;
mod heartbeat;
#[cfg(test)]
mod histories;
pub mod hold;
pub mod holder;
mod json;
pub mod last_stop;
pub mod layout;
pub mod lines;
mod local_files;
mod names;
mod pack_use;
pub mod packs;
pub mod pod;
pub mod probe;
mod purpose;
pub mod resumable;
pub mod retention;
pub mod staging;
mod stand_apart;
mod strangers;
pub mod verdict;
pub mod waiting;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::bucket::{Bucket, BucketError};
use crate::backend::directory::{Directory, is_directory};
use crate::backend::durable::ignore_missing;
use crate::backend::{Backend, Kind, Name};
use crate::base::limits;
use buckets::Connected;
pub use error::{ImageDirError, io_at};
pub use json::to_json;
use local_files::LocalFiles;
pub use names::Generation;
use names::{accounts, generations, holders, parse_number};

/// An image directory that exists.
#[derive(Debug, Clone)]
pub struct ImageDir {
    backend: Arc<dyn Backend>,
    /// None on a volume.
    local: Option<Arc<LocalFiles>>,
}

impl ImageDir {
    /// Opens the directory `root` and makes what is missing of it, except for the directory that should hold it: were that made
    /// too, a forgotten volume would go unnoticed and checkpoints would go to the container's own layer.
    ///
    /// # Errors
    /// The volume is not there, or cannot be written.
    pub fn open(root: &Path) -> Result<Self, ImageDirError> {
        if let Some(connection) = buckets::connected(root)? {
            return Self::open_in(connection);
        }
        let parent = root.parent().unwrap_or(root);
        if !is_directory(parent).map_err(io_at("look at", parent))? {
            return Err(ImageDirError::NoParent { path: root.into(), parent: parent.into() });
        }
        Self::make(Arc::new(Directory::new(root)), None)
    }

    /// Opens one in a bucket, and makes what is missing of it.
    ///
    /// # Errors
    /// It is used for something else, cannot do what is needed, or cannot be written.
    pub fn open_in(Connected { connection, local }: Connected) -> Result<Self, ImageDirError> {
        let path = connection.told().to_owned();
        let local = LocalFiles::make(&local).map_err(io_at("make a directory in", &local))?;
        let bucket = Bucket::open(connection).map_err(|error| match error {
            BucketError::Occupied(name) => ImageDirError::Occupied { path, name },
            BucketError::Io(source) => io_at("use", &path)(source),
        })?;
        Self::make(Arc::new(bucket), Some(Arc::new(local)))
    }

    /// Looks at one in a bucket without changing anything, for which the right to read is enough.
    ///
    /// # Errors
    /// It is no image directory.
    pub fn look_in(Connected { connection, local }: Connected) -> Result<Self, ImageDirError> {
        let local = LocalFiles::make(&local).map_err(io_at("make a directory in", &local))?;
        Self::find(Arc::new(Bucket::look(connection)), Some(Arc::new(local)))
    }

    fn make(backend: Arc<dyn Backend>, local: Option<Arc<LocalFiles>>) -> Result<Self, ImageDirError> {
        let dir = Self { backend, local };
        dir.refuse_strangers()?;
        dir.make_root()?;
        for name in own() {
            dir.backend.make_all(&name).map_err(dir.at("create", &name))?;
        }
        dir.refuse_links()?;
        Ok(dir)
    }

    fn make_root(&self) -> Result<(), ImageDirError> {
        let root = Name::root();
        let Err(source) = self.backend.make_all(&root) else { return Ok(()) };
        // What is known not to be there has nothing that could be resumed.
        let absent = self.backend.look(&root).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        Err(match absent {
            true => ImageDirError::Unmade { path: self.root().into(), source },
            false => self.at("create", &root)(source),
        })
    }

    /// Looks at the directory `root` without changing anything, for which the right to read is enough.
    ///
    /// # Errors
    /// It is no image directory.
    pub fn look(root: &Path) -> Result<Self, ImageDirError> {
        match buckets::connected(root)? {
            Some(connection) => Self::look_in(connection),
            None => Self::find(Arc::new(Directory::new(root)), None),
        }
    }

    fn find(backend: Arc<dyn Backend>, local: Option<Arc<LocalFiles>>) -> Result<Self, ImageDirError> {
        let dir = Self { backend, local };
        dir.backend.list(&Name::root()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ImageDirError::Absent(dir.root().into()),
            _ => dir.at("read", &Name::root())(error),
        })?;
        dir.refuse_links()?;
        if !dir.is_directory(&generations()) {
            return Err(ImageDirError::Foreign(dir.root().into()));
        }
        Ok(dir)
    }

    /// A directory that somebody uses for something else stays theirs: crik lists, renames and removes by name in its own.
    fn refuse_strangers(&self) -> Result<(), ImageDirError> {
        // A person may have removed one of them.
        if own().iter().filter(|name| self.is_directory(name)).count() > 1 {
            return Ok(());
        }
        match strangers::first(&*self.backend).map_err(self.at("read", &Name::root()))? {
            Some(name) => Err(ImageDirError::Occupied { path: self.root().into(), name }),
            None => Ok(()),
        }
    }

    /// Where these directories lead is nobody's to choose; `imageDir` itself may be a link of the administrator's.
    fn refuse_links(&self) -> Result<(), ImageDirError> {
        for name in own().into_iter().chain([names::CUT, names::PACKS].map(Name::from)) {
            match self.backend.look(&name) {
                Ok(found) if found.kind == Kind::Link => {
                    return Err(ImageDirError::Link(self.path_of(&name)));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.at("look at", &name)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_directory(&self, name: &Name) -> bool {
        self.backend.look(name).is_ok_and(|found| found.kind == Kind::Directory)
    }

    /// Where it is.
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// How people are told where something in it is; on a volume that is its path.
    pub(crate) fn path_of(&self, name: &Name) -> PathBuf {
        self.root().join(name.as_path())
    }

    /// Gives an error its operation and where it was.
    fn at(&self, what: &'static str, name: &Name) -> impl Fn(io::Error) -> ImageDirError + use<> {
        let path = self.path_of(name);
        move |source| io_at(what, &path)(source)
    }

    /// The directory itself, as people are told it.
    pub fn root(&self) -> &Path {
        self.backend.root()
    }

    /// How people are told a file in it, and in a bucket how they read it.
    #[must_use]
    pub fn told(&self, file: &Name) -> String {
        let place = self.path_of(file);
        match self.is_in_a_bucket() {
            true => format!("{} (crik cat {file} --image-dir {})", place.display(), self.root().display()),
            false => place.display().to_string(),
        }
    }

    /// Writes a file in it to `to`.
    ///
    /// # Errors
    /// It is not there or cannot be read; or `to` does not take it.
    pub fn copy_out(&self, file: &str, to: &mut dyn io::Write) -> io::Result<()> {
        let is_plain = |part: &str| !["", ".", ".."].contains(&part);
        if !file.split('/').all(is_plain) {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        local_files::copy_out(self.backend(), &Name::from(file), to)
    }

    /// How what was cut from a file is told, which is kept under this name.
    #[must_use]
    pub fn told_cut(&self, generation: Generation, name: &str) -> String {
        self.told(&generation.cut().join(name))
    }

    /// True when it is on the same file system as `/`, and so most likely not on a volume at all.
    pub fn is_on_root_file_system(&self) -> bool {
        if self.local.is_some() {
            return false;
        }
        let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
        device(self.root()) == device(Path::new("/"))
    }

    /// The number of the newest hold.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn newest_hold(&self) -> Result<Option<u64>, ImageDirError> {
        Ok(self.numbers(&holders())?.into_iter().max())
    }

    /// Where it is, to be shared.
    pub(crate) fn shared_backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    /// Whether it is in a bucket, and its files here are copies of a moment.
    pub fn is_in_a_bucket(&self) -> bool {
        self.local.is_some()
    }

    /// Why what is superfluous stays there and takes ever more room, if that is known, with the remedy.
    #[must_use]
    pub fn refuses_removal(&self) -> Option<String> {
        self.backend.refuses_removal()
    }

    /// Where on this machine the files of what has this name are, once they are brought.
    pub(crate) fn local_path(&self, name: &Name) -> PathBuf {
        self.local.as_ref().map_or_else(|| self.path_of(name), |local| local.path(name))
    }

    /// The directory of a committed generation, once it is here ([`Self::bring`]).
    pub fn generation(&self, generation: Generation) -> PathBuf {
        self.local_path(&generation.directory())
    }

    /// Sees to it that the files of a generation, but for its packs, are on this machine; says where.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn bring(&self, generation: Generation) -> io::Result<PathBuf> {
        let name = generation.directory();
        self.local.as_ref().map_or(Ok(()), |local| local.bring(self.backend(), &name))?;
        Ok(self.local_path(&name))
    }

    /// Sends what was staged here to where it is committed.
    pub(super) fn send(&self, staged: &Name) -> io::Result<()> {
        self.local.as_ref().map_or(Ok(()), |local| local.send(self.backend(), staged))
    }

    /// What was staged here is where it was committed.
    pub(super) fn forget(&self, staged: &Name) {
        self.local.iter().for_each(|local| local.remove(staged));
    }

    /// Makes a directory on this machine that is in a bucket already.
    pub(super) fn make_local(&self, name: &Name) -> io::Result<()> {
        self.local.as_ref().map_or(Ok(()), |local| local.make_directory(name))
    }

    /// The directory of what was cut from files of the application when `generation` was resumed.
    pub fn cut(&self, generation: Generation) -> PathBuf {
        self.local_path(&generation.cut())
    }

    /// Sees to it that what was cut before is on this machine.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bring_cut(&self, generation: Generation) -> io::Result<()> {
        let Some(local) = &self.local else { return Ok(()) };
        local.make_directory(&Name::root())?;
        ignore_missing(local.bring(self.backend(), &generation.cut()))
    }

    /// A file that is here is kept under the name `to`, by way of one below a hold: who has lost that keeps nothing.
    pub(super) fn keep_by_way_of(&self, below_hold: &Name, to: &Name) -> io::Result<()> {
        let Some(local) = &self.local else { return Ok(()) };
        self.backend.make_all(&to.parent())?;
        // Of an attempt before.
        self.backend.remove(below_hold)?;
        local.send_file(self.backend(), below_hold)?;
        self.backend.rename(below_hold, to)
    }

    /// All committed generations, newest first.
    ///
    /// # Errors
    /// The volume cannot be read.
    pub fn list(&self) -> Result<Vec<Generation>, ImageDirError> {
        let mut found: Vec<Generation> = self.numbers(&generations())?.into_iter().map(Generation).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Makes the entries of the generations durable.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn sync_generations(&self) -> Result<(), ImageDirError> {
        self.sync(&generations()).and_then(|()| self.sync(&Name::root()))
    }

    fn sync(&self, name: &Name) -> Result<(), ImageDirError> {
        self.backend.sync(name).map_err(self.at("fsync", name))
    }

    fn remove_all(&self, name: &Name) -> Result<(), ImageDirError> {
        if let Some(local) = &self.local {
            local.remove(name);
        }
        self.backend.remove(name).map_err(self.at("remove", name))
    }

    /// A file that crik has made; none if it is not there. What others have written must not exhaust the container's memory.
    fn read_small(&self, name: &Name) -> io::Result<Option<Vec<u8>>> {
        match self.backend.read(name, limits::SMALL_FILE_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Makes the next look at the generations and at the mark of an end see what other machines wrote.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn refresh(&self) -> Result<(), ImageDirError> {
        [generations(), accounts(), Name::root()]
            .iter()
            .try_for_each(|name| self.backend.refresh(name).map_err(self.at("write", name)))
    }

    /// Removes what was cut from files for generations that are not there any more: who removed them may have died before.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn sweep_cuts(&self) -> Result<(), ImageDirError> {
        let cut = Name::from(names::CUT);
        let resumed = if self.is_directory(&cut) { self.numbers(&cut)? } else { Vec::new() };
        let is_gone = |generation: &Generation| {
            let found = self.backend.look(&generation.directory());
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let gone = resumed.into_iter().map(Generation).filter(is_gone);
        gone.map(Generation::cut).try_for_each(|name| self.remove_all(&name))
    }

    /// Bytes that what has this `name` takes, with all below it.
    fn stored(&self, name: &Name) -> Result<u64, ImageDirError> {
        self.backend.stored(name).map_err(self.at("read", name))
    }

    /// The numbered names in a directory.
    fn numbers(&self, directory: &Name) -> Result<Vec<u64>, ImageDirError> {
        let listed = self.backend.list(directory).map_err(self.at("read", directory))?;
        Ok(listed.iter().filter_map(|entry| parse_number(&entry.name)).collect())
    }
}

/// What each image directory has.
fn own() -> [Name; 3] {
    [generations(), accounts(), holders()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_dir::fixture::everywhere;

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
        everywhere(|place| {
            let dir = place.open();
            for name in
                ["00000009", "00000010", "100000000", "lost+found", "12", "0000001x", "18446744073709551615"]
            {
                dir.backend().make(&generations().join(name)).unwrap();
            }
            assert_eq!(dir.list().unwrap(), [Generation(100_000_000), Generation(10), Generation(9)]);
        });
    }

    #[test]
    fn what_was_cut_goes_with_its_generation_and_nothing_else_is_touched() {
        everywhere(|place| {
            let dir = place.open();
            let theirs =
                ["staging/criu", "staging-mine/x", "removing-00000003/criu", "new-idea", "cut/00000003x"];
            for name in theirs.iter().chain(&["cut/00000003", "cut/00000004", "generations/00000004"]) {
                dir.backend().make_all(&Name::from(*name)).unwrap();
            }
            dir.sweep_cuts().unwrap();
            assert!(theirs.iter().all(|name| dir.is_directory(&Name::from(*name))));
            assert!(!dir.is_directory(&Generation(3).cut()) && dir.is_directory(&Generation(4).cut()));
        });
    }

    #[test]
    fn a_directory_of_ours_that_leads_elsewhere_is_refused() {
        for name in ["generations", "claims", "holders", "packs", "cut"] {
            let (volume, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let root = volume.path().join("job-0");
            ImageDir::open(&root).unwrap();
            let ours = root.join(name);
            let _ = fs::remove_dir(&ours);
            std::os::unix::fs::symlink(elsewhere.path(), &ours).unwrap();
            let error = ImageDir::open(&root).unwrap_err();
            assert!(matches!(&error, ImageDirError::Link(path) if *path == ours), "{name}: {error}");
            assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
        }
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
