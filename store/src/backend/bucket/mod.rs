//! An image directory in a bucket: Amazon S3, Google Cloud Storage, Azure Blob Storage, or what is like them.
//!
//! ```text
//! names           all names, and the contents of small files
//! blobs/9f…       the contents of another file, or a part of them
//! trials/…        what was written to see whether the bucket can do what is needed; removed at once
//! ```
//!
//! **All names are one object**, which is only ever replaced on the condition that it is still the one that was read. So each change is
//! a pure function of the names ([`names`]) that happens at one moment, or not at all, and each look sees one moment, too: what the image
//! directory's protocol needs of rename(2) holds here by itself. An answer may be lost: each change leaves a mark, and who got no
//! answer looks for its mark before it tries again. A request that is late is none: its condition is not met any more once anybody, be it
//! the same pod, has changed the names since.
//!
//! **Other contents are written first, and then named**, under a name that is made up and never used again. What no name refers to is
//! removed by [`Backend::sweep`], and it never removes what is, or will be, referred to. Only a pod that has the hold makes blobs, below
//! its hold (what others write is small and in the names). A sweep (1) lists the blobs, (2) notes which of them this pod has
//! written and not named yet, (3) changes the names on the condition that its hold is still there, and removes (4) what is in the list,
//! and neither noted nor named then. However late (4) happens, such a blob was written before (1), and
//! - by this pod, so it was named before (3) and is not any more; or to name it has failed, and a request for that which is still under way
//!   cannot succeed after (3);
//! - or by an earlier holder, which names nothing any more since its hold is gone;
//! - but not by a later one, which writes none before it has removed the hold of this one: after (3), and so after the list.
//!
//! Whoever reads a file when its generation is removed may find its contents gone, as may happen on NFS.

mod aws_file;
mod blobs;
mod blocks;
mod failure;
#[cfg(test)]
pub(crate) mod faulty;
mod http;
mod in_turn;
mod large;
mod names;
pub mod provider;
mod removal;
mod requests;
#[cfg(test)]
mod tests;
mod trial;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use object_store::{ObjectStore, PutMode, UpdateVersion};
use thiserror::Error;

use crate::backend::large::{Sink, Source};
use crate::backend::{Backend, Kind, Listed, Look, Name};
use crate::base::limits;
use crate::base::nonce::{nonce, number};
use crate::base::panics::locked;
use blobs::Blobs;
use blocks::Blocks;
use failure::Failure;
use large::{Opened, Written};
use names::{Entry, Names, What};
use requests::Requests;

/// What is wrong with a prefix where nothing says what the objects are.
const NAMELESS: &str = "there are checkpoints, but its object `names`, which says what is what, is missing; bring that back \
                        (a bucket with versions has it), or give crik another prefix";

/// The names object.
const NAMES: &str = "names";

/// An image directory in a bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    told: PathBuf,
    requests: Arc<Requests>,
    blobs: Arc<Blobs>,
    known: Arc<Mutex<Option<Version>>>,
    /// As long as something is read.
    blocks: Arc<Mutex<Weak<Blocks>>>,
}

/// Where a bucket is, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Who is asked.
    pub store: Arc<dyn ObjectStore>,
    /// With what the names of all objects of the image directory begin.
    pub prefix: object_store::path::Path,
    /// How people are told it.
    pub told: PathBuf,
    /// How long a request may take, besides its bytes; see [`limits::REQUEST_LIMIT`].
    pub limit: Duration,
}

/// Asks a bucket, from threads of its own.
#[derive(Debug, Clone)]
pub struct Connection {
    told: PathBuf,
    requests: Arc<Requests>,
}

impl Connection {
    /// How people are told where it is.
    #[must_use]
    pub fn told(&self) -> &Path {
        &self.told
    }
}

impl Place {
    /// Begins the threads that ask it.
    ///
    /// # Errors
    /// There are none, or this is called in a step.
    pub fn connect(self) -> io::Result<Connection> {
        let Self { store, prefix, told, limit } = self;
        Ok(Connection { told, requests: Arc::new(Requests::begin(store, prefix, limit)?) })
    }
}

/// Why a bucket cannot be used.
#[derive(Debug, Error)]
pub enum BucketError {
    /// Somebody uses the prefix for something else.
    #[error("it has something in it that is not crik's ({0}); give crik a prefix of its own")]
    Occupied(String),
    /// It cannot do what is needed, or not now.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The names as they were at one moment.
#[derive(Debug, Clone)]
struct Version {
    names: Arc<Names>,
    /// By which the bucket knows it.
    known_as: UpdateVersion,
}

impl Bucket {
    /// One that may be changed. Nothing is made yet but what shows whether it can be.
    ///
    /// # Errors
    /// It is used for something else, lacks writes on conditions, or cannot be asked.
    pub fn open(connection: Connection) -> Result<Self, BucketError> {
        let bucket = Self::look(connection);
        if bucket.current()?.is_none() {
            bucket.refuse_strangers()?;
            bucket.refuse_the_nameless()?;
        }
        bucket.requests.once_tried(trial::try_conditions).map_err(io::Error::from)?;
        Ok(bucket)
    }

    /// One that is only read.
    #[must_use]
    pub fn look(Connection { told, requests }: Connection) -> Self {
        Self { told, requests, blobs: Arc::default(), known: Arc::default(), blocks: Arc::default() }
    }

    /// What is there without names was not made by crik.
    fn refuse_strangers(&self) -> Result<(), BucketError> {
        let own = [NAMES, blobs::BLOBS, trial::TRIALS];
        let first = self.requests.first_but(&own).map_err(io::Error::from)?;
        first.map_or(Ok(()), |name| Err(BucketError::Occupied(name)))
    }

    /// Contents without names have lost them: if there were new ones, all contents would be superfluous.
    fn refuse_the_nameless(&self) -> Result<(), BucketError> {
        let found = Blobs::list(&self.requests).map_err(io::Error::from)?;
        if found.is_empty() { Ok(()) } else { Err(io::Error::other(NAMELESS).into()) }
    }

    /// The names as they are now; none if they were never made.
    fn current(&self) -> io::Result<Option<Version>> {
        let known = locked(&self.known).clone();
        let seen = known.as_ref().and_then(|version| version.known_as.e_tag.clone());
        match self.requests.read_if_changed(NAMES, seen, limits::NAMES_MAX_BYTES) {
            Ok((bytes, known_as)) => {
                let version = Version { names: Arc::new(Names::parse(&bytes)?), known_as };
                self.keep(&version);
                Ok(Some(version))
            }
            Err(Failure::Unchanged) => Ok(known),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// What was read or written last; it may be old by the time that it is used, of which the bucket tells then.
    fn keep(&self, version: &Version) {
        *locked(&self.known) = Some(version.clone());
    }

    fn names(&self) -> io::Result<Arc<Names>> {
        let found = self.current()?.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        Ok(found.names)
    }

    /// Changes the names where they are; see [`Self::change_from`].
    fn change(&self, change: &dyn Fn(&mut Names) -> io::Result<Changed>) -> io::Result<Arc<Names>> {
        self.change_from(None, change)
    }

    /// Changes the names, of which there are none yet if `none` says what they are then. First what was known last is tried, which
    /// spares a round trip: if it is old, the bucket refuses that. What would be an error then, or no change, may be none by now.
    fn change_from(
        &self,
        none: Option<&Names>,
        change: &dyn Fn(&mut Names) -> io::Result<Changed>,
    ) -> io::Result<Arc<Names>> {
        let (mark, mut rounds, mut tries) = (nonce()?, 0..limits::CHANGE_ROUNDS, self.requests.tries());
        let mut guess = locked(&self.known).clone();
        while rounds.next().is_some() {
            let is_guess = guess.is_some();
            let found = match guess.take() {
                Some(guess) => Some(guess),
                None => self.current()?,
            };
            let Some(old) = found.as_ref().map(|version| &*version.names).or(none) else {
                return Err(io::Error::from_raw_os_error(libc::ENOENT));
            };
            if old.has(&mark) {
                return Ok(Arc::new(old.clone()));
            }
            let mut names = old.clone();
            match change(&mut names) {
                Ok(Changed::Yes) => {}
                _ if is_guess => continue,
                Ok(Changed::No) => return Ok(Arc::new(names)),
                Err(error) => return Err(error),
            }
            names.note(&mark);
            match self.replace(found, Arc::new(names)) {
                Ok(names) => return Ok(names),
                Err(Failure::Conflict | Failure::Missing) => {}
                Err(failure) if tries.again(&failure) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(io::Error::other("other pods change the names in the bucket all the time"))
    }

    /// Puts the names where the `old` ones still are.
    fn replace(&self, old: Option<Version>, names: Arc<Names>) -> Result<Arc<Names>, Failure> {
        let mode = old.map_or(PutMode::Create, |version| PutMode::Update(version.known_as));
        let json = names.to_json();
        // What cannot be read must not be written.
        if json.len() as u64 >= limits::NAMES_MAX_BYTES {
            return Err(Failure::lasting(
                "it has more names than fit; remove checkpoints that nobody needs (crik gc)",
            ));
        }
        let known_as = self.requests.put(self.requests.path(NAMES), json, mode)?;
        self.keep(&Version { names: Arc::clone(&names), known_as });
        Ok(names)
    }

    fn blocks(&self) -> Arc<Blocks> {
        let mut known = locked(&self.blocks);
        known.upgrade().unwrap_or_else(|| {
            let blocks = Arc::default();
            *known = Arc::downgrade(&blocks);
            blocks
        })
    }

    fn put(&self, file: &Name, what: What) -> io::Result<()> {
        let entry = Entry { identity: number()?, what };
        self.change(&|names| names.put(file, entry.clone()).map(|()| Changed::Yes)).map(drop)
    }
}

/// Whether there is anything to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

impl Backend for Bucket {
    fn root(&self) -> &Path {
        &self.told
    }

    fn make(&self, directory: &Name) -> io::Result<()> {
        let identity = number()?;
        self.change(&|names| names.make(directory, identity).map(|()| Changed::Yes)).map(drop)
    }

    fn make_all(&self, directory: &Name) -> io::Result<()> {
        let identities: Vec<u64> = directory.parts().map(|_| number()).collect::<io::Result<_>>()?;
        let empty = Names::default();
        let made = self.change_from(Some(&empty), &|names| {
            let made = names.make_all(directory, &identities)?;
            // Also that of which there are no names yet.
            Ok(if made || names.is_new() { Changed::Yes } else { Changed::No })
        });
        made.map(drop)
    }

    fn read(&self, file: &Name, most: u64) -> io::Result<Vec<u8>> {
        let names = self.names()?;
        match &names.find(file)?.what {
            What::Directory(_) => Err(io::Error::from(io::ErrorKind::InvalidData)),
            What::Text(text) => Ok(text.bytes().take(usize::try_from(most).unwrap_or(usize::MAX)).collect()),
            What::Blobs(blobs) => Ok(Blobs::get(&self.requests, blobs, most)?),
        }
    }

    /// Names and contents outlast everything as soon as they are there.
    fn create(&self, file: &Name, contents: &[u8]) -> io::Result<()> {
        match std::str::from_utf8(contents) {
            Ok(text) if text.len() <= limits::INLINE_MAX_BYTES => self.put(file, What::Text(text.to_owned())),
            _ => {
                let awaited = self.blobs.put(&self.requests, nonce()?, contents.to_vec())?;
                self.put(file, What::Blobs(vec![awaited.blob.clone()]))
            }
        }
    }

    fn write(&self, file: &Name, contents: &[u8]) -> io::Result<()> {
        self.create(file, contents)
    }

    fn begin(&self, file: &Name) -> io::Result<Box<dyn Sink>> {
        let (bucket, file) = (self.clone(), file.clone());
        let name = Box::new(move |blobs| bucket.put(&file, What::Blobs(blobs)));
        Ok(Box::new(Written::begin(&self.requests, &self.blobs, name)))
    }

    /// Many are opened one after the other, and each was written once: the bucket is asked only for one that was not known yet.
    fn open(&self, file: &Name) -> io::Result<Box<dyn Source>> {
        let known = locked(&self.known).as_ref().map(|version| Arc::clone(&version.names));
        let names = match known.filter(|names| names.find(file).is_ok()) {
            Some(names) => names,
            None => self.names()?,
        };
        match &names.find(file)?.what {
            What::Blobs(blobs) => Ok(Box::new(Opened::new(&self.requests, self.blocks(), blobs))),
            // None that was begun so is any other.
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    fn rename(&self, from: &Name, to: &Name) -> io::Result<()> {
        self.change(&|names| names.rename(from, to).map(|()| Changed::Yes)).map(drop)
    }

    /// In one change, whatever their number.
    fn rename_all(&self, from: &Name, to: &Name) -> io::Result<()> {
        let all = |names: &mut Names| {
            let found: Vec<String> = match names.entries(from) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Changed::No),
                found => found?.keys().cloned().collect(),
            };
            found.iter().try_for_each(|name| names.rename(&from.join(name), &to.join(name)))?;
            Ok(if found.is_empty() { Changed::No } else { Changed::Yes })
        };
        self.change(&all).map(drop)
    }

    fn remove(&self, name: &Name) -> io::Result<()> {
        let removed = self.change(&|names| {
            let removed = names.remove(name)?;
            Ok(if removed { Changed::Yes } else { Changed::No })
        });
        removed.map(drop)
    }

    fn list(&self, directory: &Name) -> io::Result<Vec<Listed>> {
        let names = self.names()?;
        let listed = |(name, entry): (&String, &Entry)| Listed {
            name: name.clone(),
            is_directory: matches!(entry.what, What::Directory(_)),
        };
        Ok(names.entries(directory)?.iter().map(listed).collect())
    }

    fn look(&self, name: &Name) -> io::Result<Look> {
        let names = self.names()?;
        if name.is_root() {
            return Ok(Look { kind: Kind::Directory, identity: 0 });
        }
        let found = names.find(name)?;
        let kind = if matches!(found.what, What::Directory(_)) { Kind::Directory } else { Kind::File };
        Ok(Look { kind, identity: found.identity })
    }

    /// Each change is durable as soon as it is done; if nobody can be asked any more, it is none the less.
    fn sync(&self, _: &Name) -> io::Result<()> {
        Ok(())
    }

    /// Each look asks the bucket anyway.
    fn refresh(&self, _: &Name) -> io::Result<()> {
        Ok(())
    }

    fn stored(&self, directory: &Name) -> io::Result<u64> {
        self.names()?.stored(directory)
    }

    fn free(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn refuses_removal(&self) -> Option<String> {
        self.requests.removal_refusal()
    }

    fn sweep(&self, hold: &Name) -> io::Result<()> {
        let (listed, awaited) = (Blobs::list(&self.requests)?, self.blobs.awaited());
        let names = self.change(&|names| names.find(hold).map(|_| Changed::Yes))?;
        let named = names.blobs();
        let superfluous =
            listed.into_iter().filter(|id| !awaited.contains(id) && !named.contains(id.as_str()));
        Blobs::remove(&self.requests, superfluous)?;
        Ok(trial::sweep(&self.requests, limits::TRIAL_AGE)?)
    }
}
