//! Takes the container's files along beside CRIU, in a thread of its own, while the tree is frozen: they are those of the same
//! moment as its memory, and the tree waits no longer for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crik_store::generation::parts::NewParts;

use super::amount::{stored, within};
use super::error::{CarryError, taking};
use super::first_look::{self, FirstLook};
use super::image_own;
use super::mounts::Mounts;
use super::open_for_writing::everybody;
use super::places::{Place, PlaceKind, places};
use super::spared::Spared;
use super::take::{Output, Summary, Taken};
use super::walk::{Found, Walk, walk, walk_again};
use crate::base::limits;
use crate::base::panics::locked;
use crate::base::step_thread;
use crate::config::Config;
use crate::tree::criu::DumpLog;

/// What goes along from this container.
#[derive(Debug)]
pub struct Carrying {
    places: Vec<Place>,
    spared: Spared,
    max_bytes: u64,
    first_look: Mutex<Option<FirstLook>>,
}

impl Carrying {
    /// What the configuration says, and `own`, files of crik's that the tree has mapped.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn new(config: &Config, own: &[PathBuf]) -> Result<Self, CarryError> {
        let mounts = Mounts::read().map_err(taking(Path::new("/proc/self/mountinfo")))?;
        let places = places(&mounts, &config.carry, &config.additional_paths, own);
        Ok(Self {
            places,
            spared: Spared::new(mounts, config),
            max_bytes: config.carry.max_bytes,
            first_look: Mutex::default(),
        })
    }

    /// How many bytes would go along now. What is seen is remembered until they go along, for which the program stands still.
    ///
    /// # Errors
    /// Something cannot be read, or it is more than may go along.
    pub fn look(&self) -> Result<u64, CarryError> {
        let layer = self.layer();
        let (first_look, mut found) = match self.walk_of(layer) {
            Some(walk) => FirstLook::new(&walk, everybody)?,
            None => (None, Vec::new()),
        };
        found.extend(walk(&self.places, &self.spared, |number| Some(number) != layer)?);
        within(&found, &self.places, self.max_bytes)?;
        *locked(&self.first_look) = first_look;
        Ok(stored(found.iter()))
    }

    /// How many bytes would go along now, for who takes nothing along: nothing is remembered or watched for it.
    ///
    /// # Errors
    /// Something cannot be read, or it is more than may go along.
    pub fn bytes(&self) -> Result<u64, CarryError> {
        let found = walk(&self.places, &self.spared, |_| true)?;
        within(&found, &self.places, self.max_bytes)?;
        Ok(stored(found.iter()))
    }

    /// All that goes along now, of which the first look may have seen most.
    fn find(&self) -> Result<Vec<Found>, CarryError> {
        let (layer, first_look) = (self.layer(), locked(&self.first_look).take());
        let again = first_look.zip(self.walk_of(layer)).map(|(first_look, walk)| first_look.again(&walk));
        match again.transpose()? {
            Some(Ok(mut found)) => {
                found.extend(walk(&self.places, &self.spared, |number| Some(number) != layer)?);
                return Ok(found);
            }
            Some(Err(unsure)) => first_look::tell(unsure),
            None => {}
        }
        walk(&self.places, &self.spared, |_| true)
    }

    /// The number of the container's layer.
    fn layer(&self) -> Option<usize> {
        self.places.iter().position(|place| place.kind == PlaceKind::Layer)
    }

    fn walk_of(&self, number: Option<usize>) -> Option<Walk<'_>> {
        Some(Walk::new(number?, self.places.get(number?)?, &self.places, &self.spared))
    }

    /// Finds out whether too much is in memory and emptyDirs already, which a container that is restarted finds there. The layer
    /// is not walked: nothing is in it yet, and an image may be large.
    ///
    /// # Errors
    /// Something cannot be read, or it is more than may go along.
    pub fn check(&self) -> Result<(), CarryError> {
        let whole = |place: &&Place| place.kind != PlaceKind::Layer;
        let places: Vec<Place> = self.places.iter().filter(whole).cloned().collect();
        within(&walk(&places, &self.spared, |_| true)?, &places, self.max_bytes)
    }

    /// Whether what is at `path` goes along if somebody makes it.
    pub fn holds(&self, path: &Path) -> bool {
        let mount = self.spared.mounts().of(path);
        // What is left alone is so with all below it.
        let mut above = path.ancestors().take_while(|above| *above != mount);
        self.places.iter().any(|place| place.path == mount) && !above.any(|above| self.spared.covers(above))
    }

    /// Whether what is at `path`, and was changed since the container began, goes along.
    pub fn takes(&self, path: &Path) -> bool {
        let mut named = self.places.iter().filter(|place| place.kind.is_named());
        self.holds(path) || named.any(|place| path.starts_with(&place.path))
    }

    fn take(&self, output: Output, leave: &BTreeSet<PathBuf>, steps: &Steps) -> Result<Summary, CarryError> {
        let mut found = self.find()?;
        image_own::mark(&mut found, |place| Some(place) == self.layer());
        found.retain(|found| !leave.contains(&found.path));
        within(&found, &self.places, self.max_bytes)?;
        let mut taken = Taken::new(self.places.clone(), output);
        taken.take(&found, || steps.is_given_up())?;
        steps.wait_until_dumped()?;
        let mut more = walk_again(&mut found, &self.places, &self.spared)?;
        more.retain(|found| !leave.contains(&found.path));
        taken.rename(&found);
        taken.take(&more, || steps.is_given_up())?;
        taken.finish(|| steps.is_given_up())
    }
}

/// How far the dump is.
#[derive(Default)]
struct Steps {
    dumped: AtomicBool,
    given_up: AtomicBool,
}

impl Steps {
    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// By its log, or when it says that it is done.
    fn wait_until_frozen(&self) -> Result<(), CarryError> {
        let mut log = DumpLog::follow();
        self.wait(|| self.dumped.load(Ordering::Acquire) || log.as_mut().is_some_and(DumpLog::has_frozen))
    }

    fn wait_until_dumped(&self) -> Result<(), CarryError> {
        self.wait(|| self.dumped.load(Ordering::Acquire))
    }

    fn wait(&self, mut come: impl FnMut() -> bool) -> Result<(), CarryError> {
        while !come() {
            if self.is_given_up() {
                return Err(CarryError::GivenUp);
            }
            thread::sleep(limits::FROZEN_POLL);
        }
        Ok(())
    }
}

/// The thread that takes them.
pub struct BesideDump {
    steps: Arc<Steps>,
    coming: Receiver<Result<Summary, CarryError>>,
}

impl BesideDump {
    /// Begins as soon as the tree is frozen, to write into these `parts`. To be called before that, but after CRIU has been started. What
    /// is at the paths to `leave` is there for a while only.
    pub fn begin(carrying: Arc<Carrying>, parts: NewParts, leave: BTreeSet<PathBuf>) -> Self {
        let (tell, coming) = channel();
        let steps = Arc::<Steps>::default();
        let seen = Arc::clone(&steps);
        thread::spawn(move || {
            // A child that inherited its files would wait for the volume when its exec closes them.
            step_thread::own_descriptors();
            let taken = Output::create(&parts).and_then(|output| {
                seen.wait_until_frozen()?;
                carrying.take(output, &leave, &seen)
            });
            // Nobody may be left to hear it.
            let _ = tell.send(taken);
        });
        Self { steps, coming }
    }

    /// Waits for the rest: the image is written, and the tree still frozen. Blocks until then or until it is `given_up`; who hangs
    /// on a dead volume holds nobody up.
    ///
    /// # Errors
    /// Not all went along.
    pub fn finish(&self, given_up: impl Fn() -> bool) -> Result<Summary, CarryError> {
        self.steps.dumped.store(true, Ordering::Release);
        loop {
            match self.coming.recv_timeout(limits::VERIFY_POLL) {
                Ok(taken) => return taken,
                Err(RecvTimeoutError::Timeout) if given_up() => return Err(CarryError::GivenUp),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(CarryError::Broken("the thread that takes files along panicked".to_owned()));
                }
            }
        }
    }
}

impl Drop for BesideDump {
    fn drop(&mut self) {
        self.steps.given_up.store(true, Ordering::Relaxed);
    }
}
