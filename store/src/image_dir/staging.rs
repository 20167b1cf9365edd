//! Where a dump is made before it is committed: never read at a start, and swept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::backend::{Look, Name};
use crate::base::fault_points::{Point, reach};
use crate::base::panics::locked;
use crate::image_dir::Generation;
use crate::image_dir::error::ImageDirError;
use crate::image_dir::hold::Hold;
use crate::image_dir::layout;
pub use crate::image_dir::purpose::Purpose;

/// A directory below a hold, so that only the holder can commit it. Each has a name of its own, so that a step that was given
/// up and goes on when the volume answers again cannot touch what a later one makes.
#[derive(Debug, Clone)]
pub struct Staging {
    hold: Arc<Hold>,
    purpose: Purpose,
    name: Name,
    path: PathBuf,
    busy: Arc<Mutex<()>>,
}

impl Staging {
    /// For `purpose`. Nothing is made yet.
    pub fn new(hold: &Arc<Hold>, purpose: Purpose) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = hold.name().join(&format!("{}-{number}", purpose.name()));
        let path = hold.dir().local_path(&name);
        Self { hold: Arc::clone(hold), purpose, name, path, busy: Arc::default() }
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hold below which it is.
    pub fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    /// Waits until nobody works there. A step that was given up may take as long as the volume likes.
    pub fn enter(&self) -> MutexGuard<'_, ()> {
        locked(&self.busy)
    }

    /// Makes it.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn make(&self) -> Result<&Path, ImageDirError> {
        let made = self.hold.dir().backend().make(&self.name);
        made.and_then(|()| self.hold.dir().make_local(&self.name))
            .map_err(|error| self.hold.explain("create", &self.path, error))?;
        if !matches!(self.purpose, Purpose::Restore | Purpose::WarmUp) {
            reach(Point::StagingMade);
        }
        Ok(&self.path)
    }

    /// Removes it.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub fn sweep(&self) -> Result<(), ImageDirError> {
        self.hold.dir().remove_all(&self.name)
    }

    /// Sends all of it to where it is committed.
    ///
    /// # Errors
    /// It cannot be read here, or not be written there.
    pub fn send(&self) -> io::Result<()> {
        self.hold.dir().send(&self.name)
    }

    /// What the directory of its packs is called, which is made.
    ///
    /// # Errors
    /// The volume cannot be written.
    pub(crate) fn make_packs(&self) -> io::Result<Name> {
        let packs = self.name.join(layout::PACKS);
        self.hold.dir().backend().make(&packs)?;
        Ok(packs)
    }

    /// Lets generations refer to the packs that are in it.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now.
    pub fn share_packs(&self) -> Result<(), ImageDirError> {
        self.hold.share_packs(&self.name.join(layout::PACKS))
    }

    /// Makes it a generation: the commit. What is in it must be durable already, or a loss of power could leave a
    /// generation without its contents.
    ///
    /// # Errors
    /// The volume cannot be written, or another pod holds the image directory now. The generation then does not exist,
    /// or exists whole.
    pub fn commit(&self, generation: Generation) -> Result<(), ImageDirError> {
        let (dir, target) = (self.hold.dir(), generation.directory());
        let staged = dir.backend().look(&self.name);
        match dir.backend().rename(&self.name, &target) {
            // Over NFS an error may only mean that the answer was lost, and the rename was done.
            Err(error) if !is_the_same(&dir.backend().look(&target), &staged) => {
                return Err(self.hold.explain("commit", &dir.path_of(&target), error));
            }
            _ => {}
        }
        reach(Point::Renamed);
        self.hold.dir().forget(&self.name);
        let durable = dir.sync_generations();
        if durable.is_err() {
            // It is seen but may not last, and the application is about to go on.
            dir.backend().rename(&target, &self.name).map_err(dir.at("take back", &target))?;
        }
        durable
    }

    /// Saves a log of CRIU's as `name` in the image directory, for a person to read.
    pub fn keep_log(&self, name: &str, log: &[u8]) {
        let kept = Name::root().join(&format!("failed-{name}"));
        match self.hold.put(&kept, log) {
            Ok(()) => tracing::warn!("CRIU's log is kept in {}", self.hold.dir().told(&kept)),
            Err(error) => tracing::warn!("CRIU's log cannot be kept: {error}"),
        }
    }
}

/// Whether what was staged is what is there now.
fn is_the_same(there: &io::Result<Look>, staged: &io::Result<Look>) -> bool {
    matches!((there, staged), (Ok(there), Ok(staged)) if there.identity == staged.identity)
}
