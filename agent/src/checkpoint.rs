//! Takes a checkpoint: room → freeze → commit. Each step works on the volume in a thread of its own and is given up when it
//! takes too long; the frozen tree stays with the caller, so that it goes on at the first error, whatever a step still does.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Error, Result, anyhow};
use nix::time::{ClockId, clock_gettime};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::cancel::give_up;
use crate::dump_progress::watch;
use crate::freeze::{self, Staged, Stopped};
use crate::hold::{Hold, Wish};
use crate::identity::Identity;
use crate::image_dir::{Generation, ImageDir};
use crate::last_call::LastCall;
use crate::logging::whole_ms;
use crate::manifest::{self, Manifest};
use crate::staging::{Purpose, Staging};
use crate::start::{Setup, Started};
use crate::tree::Snapshot;
use crate::{commit, criu, extra_files, limits, pace, room, speed};

/// Takes the checkpoints of one tree.
pub struct Checkpointer {
    /// What the agent was told.
    pub setup: Arc<Setup>,
    /// The tree.
    pub started: Started,
    /// The image directory, once this pod holds it.
    hold: Mutex<Option<Arc<Hold>>>,
    /// Where the checkpoint of a stop was begun.
    staging: Mutex<Option<Staging>>,
    /// Bytes per second that the volume takes, once that is known.
    speed: Mutex<Option<f64>>,
}

impl Checkpointer {
    /// For the tree that was started.
    pub fn new(setup: &Arc<Setup>, started: Started) -> Arc<Self> {
        let hold = Mutex::new(started.hold.clone());
        Arc::new(Self {
            setup: Arc::clone(setup),
            started,
            hold,
            staging: Mutex::default(),
            speed: Mutex::default(),
        })
    }

    /// The image directory, if this pod holds it.
    pub fn hold(&self) -> Option<Arc<Hold>> {
        lock(&self.hold).clone()
    }

    /// Notes how fast the volume is, in bytes per second.
    pub fn learn_speed(&self, speed: Option<f64>) {
        let mut known = lock(&self.speed);
        *known = speed.or(*known);
    }

    /// Freezes the tree, makes its image durable, and kills it.
    ///
    /// # Errors
    /// There is no checkpoint, and the tree runs on.
    pub async fn checkpoint(self: &Arc<Self>, deadline: Instant) -> Result<()> {
        let call = Arc::new(LastCall::default());
        let staging = self.prepare(deadline, &call).await?;
        *lock(&self.staging) = Some(staging.clone());
        let (stopped, staged) = self.freeze(&staging, deadline, &call).await?;
        let committed = self.commit(&staging, staged, deadline, &call).await?;
        self.learn_speed(speed::of(&committed));
        stopped.kill();
        Ok(())
    }

    /// Makes sure that there is an image directory, room, and a chance.
    async fn prepare(self: &Arc<Self>, deadline: Instant, call: &Arc<LastCall>) -> Result<Staging> {
        let this = Arc::clone(self);
        let step = spawn_blocking(move || {
            let hold = this.take_hold()?;
            let bytes = Snapshot::take().tree(this.started.root).private_bytes();
            room::make(&hold, bytes, this.started.resumed)?;
            this.has_a_chance(bytes, deadline.saturating_duration_since(Instant::now()))?;
            Ok(Staging::new(&hold, Purpose::Stop))
        });
        within(step, deadline, call).await
    }

    /// A start may have failed to take the image directory for a reason that has passed.
    fn take_hold(&self) -> Result<Arc<Hold>> {
        if let Some(hold) = self.hold() {
            return Ok(hold);
        }
        let config = &self.setup.config;
        let path = config.image_dir.as_deref().ok_or_else(|| anyhow!("no imageDir is configured"))?;
        let wish = Wish { pod: self.setup.pod.clone(), expiry: config.claim_expiry, expired: None };
        let hold = Hold::take(&ImageDir::open(path)?, &wish)?;
        *lock(&self.hold) = Some(Arc::clone(&hold));
        Ok(hold)
    }

    fn has_a_chance(&self, bytes: u64, left: Duration) -> Result<()> {
        let known = *lock(&self.speed);
        let Some(speed) = known else { return Ok(()) };
        match pace::hopeless_from_the_start(bytes, speed, left) {
            None => Ok(()),
            Some(needed) => Err(anyhow!(
                "{} at {}/s would take {needed:.0?} and {left:.0?} are left; raise gracePeriod or use a faster volume",
                room::bytes(bytes),
                room::bytes(speed as u64)
            )),
        }
    }

    async fn freeze(
        self: &Arc<Self>,
        staging: &Staging,
        deadline: Instant,
        call: &Arc<LastCall>,
    ) -> Result<(Stopped, Staged)> {
        let clock = Instant::now();
        let (this, place, request) = (Arc::clone(self), staging.clone(), self.request(call));
        let step = spawn_blocking(move || -> Result<_> {
            let _inside = place.enter();
            let (stopped, mut staged) = freeze::freeze(&place, &request)?;
            staged.extra_paths = extra_files::save(&this.additional_paths(), &place.path().join("files"))?;
            Ok((stopped, staged))
        });
        let expected = Snapshot::take().tree(self.started.root).private_bytes();
        let hopeless = watch(staging.path(), expected, deadline);
        let (stopped, staged) = until(step, hopeless, call).await?;
        tracing::info!(
            step = "freeze",
            processes = staged.tree.processes,
            bytes = staged.tree.resident_bytes,
            ms = whole_ms(clock.elapsed()),
            "the application is frozen"
        );
        Ok((stopped, staged))
    }

    fn request(&self, call: &Arc<LastCall>) -> freeze::Request {
        freeze::Request {
            root: self.started.root,
            init: self.started.init.clone(),
            strays: self.started.strays.clone(),
            inotify_incompatible_paths: self.setup.config.inotify_incompatible_paths.clone(),
            last_call: Arc::clone(call),
        }
    }

    /// The init is part of the tree, and the next pod's crik may carry another one.
    fn additional_paths(&self) -> Vec<PathBuf> {
        self.setup.config.additional_paths.iter().chain([&self.started.init]).cloned().collect()
    }

    async fn commit(
        self: &Arc<Self>,
        staging: &Staging,
        staged: Staged,
        deadline: Instant,
        call: &Arc<LastCall>,
    ) -> Result<Manifest> {
        let clock = Instant::now();
        let (this, place, asked) = (Arc::clone(self), staging.clone(), Arc::clone(call));
        let step = spawn_blocking(move || -> Result<_> {
            let _inside = place.enter();
            let manifest = this.manifest(place.hold().dir().next()?, staged)?;
            Ok(commit::commit(&place, manifest, &asked)?)
        });
        let committed = within(step, deadline, call).await?;
        tell_committed(&committed, clock.elapsed());
        Ok(committed)
    }

    fn manifest(&self, generation: Generation, staged: Staged) -> Result<Manifest> {
        let pod = &self.setup.pod;
        Ok(Manifest {
            version: manifest::VERSION,
            generation,
            created_at: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            crik_version: env!("CARGO_PKG_VERSION").to_owned(),
            identity: Identity::here(&self.setup.command, criu::version()?, pod.node.as_deref())
                .with_programs(self.started.programs.known()),
            tree: staged.tree,
            stdio: staged.stdio,
            cgroups: staged.cgroups,
            extra_paths: staged.extra_paths,
            monotonic_seconds: clock_gettime(ClockId::CLOCK_MONOTONIC)?.tv_sec().unsigned_abs(),
            durations_ms: staged.durations_ms,
            files: manifest::Files::new(),
        })
    }

    /// Saves CRIU's log and removes what is left of a failed checkpoint, once nobody works there any more.
    pub fn clean_up(&self) -> Option<JoinHandle<()>> {
        let staging = lock(&self.staging).take()?;
        Some(spawn_blocking(move || {
            let _inside = staging.enter();
            staging.keep_log(&Path::new("criu").join(limits::DUMP_LOG));
            if let Err(error) = staging.sweep() {
                tracing::warn!("the staging directory is left behind: {error}");
            }
        }))
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell_committed(committed: &Manifest, took: Duration) {
    tracing::info!(
        step = "commit",
        generation = committed.generation.0,
        bytes = committed.total_bytes(),
        ms = whole_ms(took),
        "generation {} is durable",
        committed.generation
    );
}

/// Waits for a step until the deadline.
async fn within<T>(step: JoinHandle<Result<T>>, deadline: Instant, call: &LastCall) -> Result<T> {
    let late = async {
        sleep_until(deadline).await;
        anyhow!("it would not be done within gracePeriod less reserve; is the volume too slow?")
    };
    until(step, late, call).await
}

/// Waits for a step until there is a reason to give it up. Once the commit has begun it is waited for: the checkpoint may
/// exist, so the application must not go on without knowing.
async fn until<T>(
    mut step: JoinHandle<Result<T>>,
    reason: impl Future<Output = Error>,
    call: &LastCall,
) -> Result<T> {
    let reason = tokio::select! {
        done = &mut step => return done?,
        reason = reason => reason,
    };
    if !call.close() {
        return step.await?;
    }
    give_up(step).await;
    Err(reason)
}
