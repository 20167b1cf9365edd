//! Takes a checkpoint: room → freeze → commit. Each step works on the volume in a thread of its own and is given up when it
//! takes too long; the frozen tree stays with the caller, so that it goes on at the first error, whatever a step still does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use crik_store::generation::clock_facts::Installed;
use crik_store::generation::commit;
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::hold::{Hold, Wish};
use crik_store::image_dir::retention::{self, Past};
use crik_store::image_dir::staging::{Purpose, Staging};
use crik_store::image_dir::{Generation, ImageDir, layout};
use tokio::sync::{Notify, watch as latest};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use crate::base::fault_points::{Point, reach};
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::{contained, contained_now, locked};
use crate::base::retry::Retries;
use crate::base::units;
use crate::carry::files::{CarryError, Carrying};
use crate::checkpoint::deadlines::{Deadlines, patience, until};
use crate::checkpoint::dump_progress::{Progress, Until, watch};
use crate::checkpoint::forecast::{Pauses, Sealing};
use crate::checkpoint::freeze::{self, Staged, Stopped};
use crate::checkpoint::kept_trial::KeptTrial;
use crate::checkpoint::log_lines::{tell_committed, tell_frozen, tell_helpless};
use crate::checkpoint::manifest_of::manifest_of;
use crate::checkpoint::quiet::{Quiet, Turn};
use crate::checkpoint::{forecast, volume_speed};
use crate::tree::criu::{self, Leave};
use crate::tree::process::sessions;
use crate::tree::process::snapshot::Snapshot;
use crate::workload::{RunningTree, Workload};

/// Takes the checkpoints of one tree.
pub struct Checkpointer {
    /// What the agent was told.
    pub workload: Arc<Workload>,
    /// The tree.
    pub running: RunningTree,
    /// The image directory, once this pod holds it.
    hold: Mutex<Option<Arc<Hold>>>,
    /// The first generation that was made of it.
    first: OnceLock<Generation>,
    /// Where the last checkpoint was begun.
    staging: Mutex<Option<Staging>>,
    /// Bytes per second that the volume takes, once that is known.
    speed: Mutex<Option<f64>>,
    /// How fast the tree was dumped.
    pauses: Mutex<Pauses>,
    /// The checkpoint that is being made durable.
    under_way: Mutex<Option<UnderWay>>,
    /// Whose turn it is of the hooks beside a checkpoint.
    hooks: Turn,
    /// The image of a trial that another pod is to resume.
    pub kept: KeptTrial,
    /// How far the dump is that is under way.
    pub progress: latest::Sender<Progress>,
}

impl Checkpointer {
    /// For the tree that was running.
    pub fn new(workload: &Arc<Workload>, running: RunningTree) -> Arc<Self> {
        let hold = Mutex::new(running.hold.clone());
        Arc::new(Self {
            workload: Arc::clone(workload),
            running,
            hold,
            first: OnceLock::new(),
            staging: Mutex::default(),
            speed: Mutex::default(),
            pauses: Mutex::default(),
            under_way: Mutex::default(),
            hooks: Turn::default(),
            kept: KeptTrial::default(),
            progress: latest::Sender::default(),
        })
    }

    /// The image directory, if this pod holds it.
    pub fn hold(&self) -> Option<Arc<Hold>> {
        locked(&self.hold).clone()
    }

    /// What the tree knows of the generations that were there before it.
    pub fn past(&self) -> Past {
        self.running.resumed.map_or_else(|| Past::Fresh(self.first.get().copied()), Past::Resumed)
    }

    /// How long a stop may take before the application must be told to stop.
    pub fn patience(&self) -> Duration {
        self.patience_within(None)
    }

    /// The same where the pod has only that `grace`, of which the application keeps the share that it has of the usual one.
    pub fn patience_within(&self, grace: Option<Duration>) -> Duration {
        patience(&self.workload.config, grace)
    }

    /// Notes how fast the volume is, in bytes per second.
    pub fn learn_speed(&self, speed: Option<f64>) {
        let mut known = locked(&self.speed);
        *known = speed.or(*known);
    }

    /// How fast the volume is, as far as that is known.
    pub fn speed(&self) -> Option<f64> {
        *locked(&self.speed)
    }

    /// Freezes the tree, makes its image durable, and kills it.
    ///
    /// # Errors
    /// There is no checkpoint, and the tree runs on.
    pub async fn checkpoint(self: &Arc<Self>, deadline: Instant) -> Result<Manifest> {
        let (quiet, stopped, committed) = contained(self.take_patiently(deadline)).await??;
        // It is durable, whatever happens now.
        let _ = contained_now(|| {
            quiet.ends();
            stopped.kill();
            reach(Point::Killed);
        });
        Ok(committed)
    }

    /// Takes one that leaves the tree stopped, again as long as the volume may recover.
    async fn take_patiently(self: &Arc<Self>, deadline: Instant) -> Result<(Quiet, Stopped, Manifest)> {
        let deadlines = Deadlines { frozen: deadline, durable: Some(deadline), hurry: Arc::default() };
        let mut retries = Retries::of_a_stop();
        let mut quiet = Some(Quiet::begin(&self.workload, &self.hooks, &deadlines).await?);
        loop {
            match self.take(Purpose::Stop, &deadlines, &mut quiet).await {
                Ok((stopped, committed)) => {
                    let quiet = quiet.take().ok_or_else(|| anyhow!("internal error: it went on"))?;
                    return Ok((quiet, stopped, committed));
                }
                Err(error) => self.before_another(&mut retries, error, deadline).await?,
            }
        }
    }

    /// Freezes the tree, lets it go on, and makes its image durable meanwhile. The tree is frozen at most for `maxPause`; what
    /// follows may take its time, until there is a `hurry`.
    ///
    /// # Errors
    /// There is no checkpoint.
    pub async fn snapshot(self: &Arc<Self>, hurry: Arc<Notify>) -> Result<Manifest> {
        self.beside(Purpose::Interval, hurry).await
    }

    /// The same, of which nothing is committed: it stays where it was staged, for the caller to sweep. Nothing older is given up for its room.
    ///
    /// # Errors
    /// There is none; what there is of it is left to [`Self::clean_up`].
    pub async fn trial(self: &Arc<Self>, hurry: Arc<Notify>) -> Result<(Staging, Manifest)> {
        let manifest = self.beside(Purpose::Trial, hurry).await?;
        let staging =
            locked(&self.staging).take().ok_or_else(|| anyhow!("internal error: it is not staged"))?;
        Ok((staging, manifest))
    }

    async fn beside(self: &Arc<Self>, purpose: Purpose, hurry: Arc<Notify>) -> Result<Manifest> {
        let deadlines = || Deadlines {
            frozen: Instant::now() + self.patience(),
            durable: None,
            hurry: Arc::clone(&hurry),
        };
        self.may_pause().await?;
        let mut quiet = None;
        loop {
            let deadlines = deadlines();
            if quiet.is_none() {
                quiet = Some(Quiet::begin(&self.workload, &self.hooks, &deadlines).await?);
            }
            match self.take(purpose, &deadlines, &mut quiet).await {
                Ok((_, committed)) => return Ok(committed),
                Err(error)
                    if purpose != Purpose::Trial
                        && self.made_room_after(&error, Instant::now() + self.patience()).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Refuses what would freeze the tree for longer than `maxPause`, as an earlier one has shown.
    async fn may_pause(self: &Arc<Self>) -> Result<()> {
        let this = Arc::clone(self);
        let (bytes, most) = (move || this.memory(), self.workload.config.max_pause);
        let bytes = spawn_blocking(bytes).await?;
        match locked(&self.pauses).too_long(bytes, most) {
            None => Ok(()),
            Some(needed) => Err(anyhow!(
                "the application would stand still for about {needed:.0?}, and maxPause is {most:.0?}; raise it if its probes \
                 bear that, or use a faster volume"
            )),
        }
    }

    /// Bytes that a checkpoint of the tree would have by now, about; none if there is no tree any more.
    ///
    /// # Errors
    /// The files of its container cannot go along.
    pub fn would_write(&self) -> Result<Option<u64>, CarryError> {
        match self.memory() {
            0 => Ok(None),
            memory => Ok(Some(memory.saturating_add(self.carrying()?.bytes()?))),
        }
    }

    /// Whether something else runs in this container, which may keep the tree from being frozen.
    pub fn runs_beside_others(&self) -> bool {
        !sessions::beside(self.running.root, criu::child_pid()).is_empty()
    }

    /// Bytes of memory that a dump writes, about.
    fn memory(&self) -> u64 {
        Snapshot::take().tree(self.running.root).bytes_to_dump()
    }

    /// `quiet` ends as soon as the tree goes on.
    async fn take(
        self: &Arc<Self>,
        purpose: Purpose,
        deadlines: &Deadlines,
        quiet: &mut Option<Quiet>,
    ) -> Result<(Stopped, Manifest)> {
        let headway = Arc::new(Headway::default());
        let prepared = self.prepare(purpose, deadlines, &headway).await?;
        let (staging, bytes) = (prepared.staging.clone(), prepared.bytes);
        *locked(&self.staging) = Some(staging.clone());
        let began = Instant::now();
        let (stopped, staged) = self.freeze(prepared, deadlines, &headway).await?;
        if purpose != Purpose::Stop {
            drop(quiet.take());
        }
        headway.expect(bytes);
        let under_way =
            UnderWay { dumped: began.elapsed(), since: Instant::now(), headway: Arc::clone(&headway) };
        *locked(&self.under_way) = (purpose != Purpose::Trial).then_some(under_way);
        let committed = self.commit(&staging, staged, deadlines, &headway).await;
        *locked(&self.under_way) = None;
        let committed = committed?;
        if purpose != Purpose::Trial {
            let _ = self.first.set(committed.generation);
        }
        self.learn_speed(volume_speed::of(&committed));
        Ok((stopped, committed))
    }

    /// Makes sure that there is an image directory, room, and a chance.
    async fn prepare(
        self: &Arc<Self>,
        purpose: Purpose,
        deadlines: &Deadlines,
        headway: &Arc<Headway>,
    ) -> Result<Prepared> {
        let (this, deadline, asked) = (Arc::clone(self), deadlines.frozen, Arc::clone(headway));
        let step = spawn_blocking(move || {
            let hold = this.take_hold()?;
            let carrying = Arc::new(this.carrying()?);
            let carried = carrying.look()?;
            let bytes = this.memory().saturating_add(carried);
            this.kept.make_way(&hold, bytes, purpose);
            if purpose == Purpose::Trial {
                retention::lacking(&hold, bytes, Past::Fresh(None))?.map_or(Ok(()), Err)?;
            } else {
                retention::make_room(&hold, bytes, this.past(), &asked)?;
            }
            reach(Point::RoomMade);
            this.has_a_chance(&hold, bytes, deadline)?;
            Ok(Prepared { staging: Staging::new(&hold, purpose), bytes, carrying })
        });
        until(step, deadlines.until_frozen(), headway).await
    }

    /// A start may have failed to take the image directory for a reason that has passed.
    fn take_hold(&self) -> Result<Arc<Hold>> {
        if let Some(hold) = self.hold() {
            return Ok(hold);
        }
        let config = &self.workload.config;
        let path = config.image_dir.as_deref().ok_or_else(|| anyhow!("no imageDir is configured"))?;
        ensure!(
            !self.running.beside_another,
            "another pod went on with the work when this one was started, and its checkpoints are the ones that count (onClaimed: fresh)"
        );
        let wish = Wish { pod: self.workload.pod.clone(), expiry: config.claim_expiry, expired: None };
        let hold = Hold::take(&ImageDir::open(path)?, &wish)?;
        hold.has_not_seen();
        hold.mend_end()?;
        *locked(&self.hold) = Some(Arc::clone(&hold));
        Ok(hold)
    }

    /// What is known of the volume's speed may be old, and of a moment when many pods started: if it is too slow by that, it is
    /// measured again.
    fn has_a_chance(&self, hold: &Hold, bytes: u64, deadline: Instant) -> Result<()> {
        let known = *locked(&self.speed);
        let Some(speed) = known.filter(|speed| is_hopeless(bytes, *speed, deadline).is_some()) else {
            return Ok(());
        };
        // A volume that cannot be measured may take it all the same.
        let Ok(speed) = volume_speed::measure_again(hold.path(), speed) else { return Ok(()) };
        self.learn_speed(Some(speed));
        match is_hopeless(bytes, speed, deadline) {
            None => Ok(()),
            Some((needed, left)) => Err(anyhow!(
                "{} at {}/s would take {needed:.0?} and {left:.0?} are left; raise gracePeriod or use a faster volume",
                units::bytes(bytes),
                units::bytes(speed as u64)
            )),
        }
    }

    async fn freeze(
        self: &Arc<Self>,
        prepared: Prepared,
        deadlines: &Deadlines,
        headway: &Arc<Headway>,
    ) -> Result<(Stopped, Staged)> {
        let clock = Instant::now();
        let Prepared { staging, bytes: expected, carrying } = prepared;
        let leave = if staging.purpose() == Purpose::Stop { Leave::Stopped } else { Leave::Running };
        let (place, request) = (staging.clone(), self.request(leave, carrying, headway));
        let step = spawn_blocking(move || {
            let _inside = place.enter();
            Ok(freeze::freeze(&place, &request)?)
        });
        let limit = self.limit(leave, deadlines);
        let hopeless = async {
            tokio::select! {
                reason = watch(staging.path(), expected, limit, &self.progress) => reason,
                reason = deadlines.until_hurry() => reason,
            }
        };
        let frozen = until(step, hopeless, headway).await;
        if leave == Leave::Running {
            self.note_pause(expected, clock.elapsed(), frozen.is_ok(), headway);
        }
        let frozen = frozen?;
        tell_frozen(&frozen.1, clock.elapsed());
        tell_helpless(&frozen.1.clocks);
        Ok(frozen)
    }

    /// Until when a dump may go on.
    fn limit(&self, leave: Leave, deadlines: &Deadlines) -> Until {
        let pause = Instant::now() + self.workload.config.max_pause;
        match leave {
            // The commit has to be done by then too.
            Leave::Stopped => Until { at: deadlines.frozen, key: "gracePeriod", whole: *locked(&self.speed) },
            Leave::Running if pause < deadlines.frozen => Until { at: pause, key: "maxPause", whole: None },
            Leave::Running => Until { at: deadlines.frozen, key: "gracePeriod", whole: None },
        }
    }

    /// Learns how fast a dump was, also of one that was given up; of another failure nothing is learned.
    fn note_pause(&self, expected: u64, took: Duration, done: bool, headway: &Headway) {
        let written = if done { expected } else { self.progress.borrow().written };
        let was_long = took > self.workload.config.max_pause / limits::PAUSE_SHARE;
        if done || headway.is_given_up() && was_long {
            locked(&self.pauses).note(written, expected, took);
        }
    }

    /// Says whether a checkpoint that is being made durable beside the application is to be finished before another one is begun,
    /// which must be done by `deadline`: how long that takes.
    pub fn finish_first(&self, deadline: Instant) -> Option<Duration> {
        let under_way = locked(&self.under_way);
        let UnderWay { dumped, since, headway } = under_way.as_ref()?;
        let (dumped, elapsed) = (*dumped, since.elapsed());
        let sealing = Sealing { dumped, elapsed, moved: headway.moved(), left: headway.left() };
        forecast::finish_first(&sealing, deadline.saturating_duration_since(Instant::now()))
    }

    fn request(
        &self,
        leave: Leave,
        carrying: Arc<Carrying>,
        headway: &Arc<Headway>,
    ) -> freeze::FreezeRequest {
        freeze::FreezeRequest {
            root: self.running.root,
            init: self.running.init.clone(),
            library: self.running.library.clone(),
            strays: self.running.strays.clone(),
            unix_connections: self.workload.config.unix_connections,
            loopback_connections: self.workload.config.loopback_connections,
            inotify_incompatible_paths: self.workload.config.inotify_incompatible_paths.clone(),
            carrying,
            leave,
            headway: Arc::clone(headway),
        }
    }

    /// What goes along of the container's files, the init and the library among it: they are part of the tree, and the next pod's
    /// crik may carry others.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn carrying(&self) -> Result<Carrying, CarryError> {
        let library = self.running.library.iter().flat_map(Installed::paths);
        let own: Vec<PathBuf> = [self.running.init.clone()].into_iter().chain(library).collect();
        Carrying::new(&self.workload.config, &own)
    }

    async fn commit(
        self: &Arc<Self>,
        staging: &Staging,
        staged: Staged,
        deadlines: &Deadlines,
        headway: &Arc<Headway>,
    ) -> Result<Manifest> {
        let clock = Instant::now();
        let (this, place, asked) = (Arc::clone(self), staging.clone(), Arc::clone(headway));
        let step = spawn_blocking(move || -> Result<_> {
            let _inside = place.enter();
            let (generation, purpose) = (place.hold().dir().next()?, place.purpose());
            let manifest = manifest_of(&this.workload, &this.running, generation, purpose, staged)?;
            let key = this.workload.key.as_ref();
            Ok(match purpose {
                Purpose::Trial => commit::make_durable(&place, manifest, key, &asked)?,
                _ => commit::commit(&place, manifest, key, &asked)?,
            })
        });
        let committed = until(step, deadlines.until_durable(), headway).await?;
        if staging.purpose() != Purpose::Trial {
            tell_committed(&committed, clock.elapsed());
        }
        Ok(committed)
    }

    /// Saves CRIU's log and removes what is left of a failed checkpoint, once nobody works there any more.
    pub fn clean_up(&self) -> Option<JoinHandle<()>> {
        let staging = locked(&self.staging).take()?;
        Some(spawn_blocking(move || {
            let _inside = staging.enter();
            if let Ok(log) = criu::last_log()
                && staging.path().join(layout::IMAGES).exists()
            {
                staging.keep_log(limits::DUMP_LOG, &log);
            }
            if let Err(error) = staging.sweep() {
                tracing::warn!("the staging directory is left behind: {error}");
            }
        }))
    }
}

/// A checkpoint that is being made durable.
struct UnderWay {
    /// How long its dump took.
    dumped: Duration,
    /// When that was over.
    since: Instant,
    headway: Arc<Headway>,
}

/// How long it would take and how long there is, if that is far too little.
fn is_hopeless(bytes: u64, speed: f64, deadline: Instant) -> Option<(Duration, Duration)> {
    let left = deadline.saturating_duration_since(Instant::now());
    Some((forecast::hopeless_from_the_start(bytes, speed, left)?, left))
}

/// What is known before the freeze.
struct Prepared {
    staging: Staging,
    /// About how many the image will have.
    bytes: u64,
    /// What goes along of the container's files, as far as it was seen.
    carrying: Arc<Carrying>,
}

#[cfg(test)]
mod tests {
    use crik_store::image_dir::pod::Pod;

    use super::*;
    use crate::carry::program_files::Programs;
    use crate::config::{Config, Hook, Hooks, OnFailure};
    use crate::workload::Life;

    #[tokio::test]
    async fn nothing_is_begun_after_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let ran = dir.path().join("ran");
        let command = vec!["touch".to_owned(), ran.display().to_string()];
        let hook = Hook { command, timeout: Duration::from_secs(5), on_failure: OnFailure::Ignore };
        let hooks = Hooks { pre_checkpoint: Some(hook), ..Hooks::default() };
        let config = Config { hooks, ..Config::default() };
        let workload = Arc::new(Workload { config, key: None, command: Vec::new(), pod: Pod::default() });
        let (init, programs) = (PathBuf::new(), Programs::default());
        let (strays, resumed, stayed, hold, beside_another) = (Vec::new(), None, false, None, false);
        let (library, life) = (None, Life::after(Duration::ZERO));
        let running = RunningTree {
            root: -1,
            init,
            strays,
            resumed,
            stayed,
            hold,
            beside_another,
            programs,
            library,
            life,
        };
        let checkpointer = Checkpointer::new(&workload, running);
        let late = checkpointer.checkpoint(Instant::now() - Duration::from_secs(1)).await;
        assert!(late.is_err() && !ran.exists());
        let in_time = checkpointer.checkpoint(Instant::now() + Duration::from_secs(20)).await;
        assert!(in_time.unwrap_err().to_string().contains("no imageDir is configured") && ran.exists());
    }
}
