//! Takes a checkpoint: room → freeze → commit. Each step works on the volume in a thread of its own and is given up when it
//! takes too long; the frozen tree stays with the caller, so that it goes on at the first error, whatever a step still does.

mod before;
mod dump;
mod room;
mod seal;
mod under_way;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Result, anyhow};
use crik_store::generation::clock_facts::Installed;
use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::Generation;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::retention::Past;
use crik_store::image_dir::staging::{Purpose, Staging};
use tokio::sync::{Notify, watch as latest};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use self::under_way::UnderWay;
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::panics::{contained, locked};
use crate::base::retry::Retries;
use crate::carry::files::{CarryError, Carrying};
use crate::checkpoint::deadlines::{Deadlines, patience};
use crate::checkpoint::dump_progress::Progress;
use crate::checkpoint::forecast::Pauses;
use crate::checkpoint::freeze::Stopped;
use crate::checkpoint::kept_trial::KeptTrial;
use crate::checkpoint::quiet::{Quiet, Turn};
use crate::checkpoint::standing_tree::StandingTree;
use crate::checkpoint::volume_speed;
use crate::checkpoint::warm_up::WarmUp;
use crate::config::Format;
use crate::tree::criu;
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
    /// Bytes per second that a checkpoint takes which is kept as CRIU writes it, once that is known.
    speed: Mutex<Option<f64>>,
    /// Bytes per second that the volume takes by itself, once that is known.
    volume: Mutex<Option<f64>>,
    /// How fast the tree was dumped.
    pauses: Mutex<Pauses>,
    /// The checkpoint that is being made durable.
    under_way: Mutex<Option<UnderWay>>,
    /// Whose turn it is of the hooks beside a checkpoint.
    hooks: Turn,
    /// What was stored of its memory beforehand.
    pub warm_up: WarmUp,
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
            volume: Mutex::default(),
            pauses: Mutex::default(),
            under_way: Mutex::default(),
            hooks: Turn::default(),
            warm_up: WarmUp::default(),
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

    /// Notes how fast a checkpoint is that is kept as CRIU writes it, in bytes per second.
    pub fn learn_speed(&self, speed: Option<f64>) {
        let mut known = locked(&self.speed);
        *known = speed.or(*known);
    }

    /// How fast such a checkpoint is, as far as that is known.
    pub fn speed(&self) -> Option<f64> {
        *locked(&self.speed)
    }

    /// Notes how fast the volume is by itself, in bytes per second.
    pub fn learn_volume(&self, speed: f64) {
        *locked(&self.volume) = Some(speed);
    }

    /// Whether checkpoints are kept in chunks.
    pub fn keeps_chunks(&self) -> bool {
        match self.workload.config.format() {
            Format::Plain => false,
            Format::Chunks => true,
            Format::Auto => !locked(&self.volume).is_some_and(|speed| speed >= limits::FAST_VOLUME),
        }
    }

    /// Freezes the tree, makes its image durable, and kills it.
    ///
    /// # Errors
    /// There is no checkpoint, and the tree runs on.
    pub async fn checkpoint(self: &Arc<Self>, deadline: Instant) -> Result<Manifest> {
        let (standing, committed) = self.checkpoint_standing(deadline).await?;
        standing.end();
        Ok(committed)
    }

    /// The same, and leaves the tree to the caller, stopped, who ends it or lets it go on.
    ///
    /// # Errors
    /// There is no checkpoint, and the tree runs on.
    pub async fn checkpoint_standing(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<(StandingTree, Manifest)> {
        let (quiet, stopped, committed) = contained(self.take_patiently(deadline)).await??;
        Ok((StandingTree::new(stopped, quiet), committed))
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
        let (headway, _held_up) = (Arc::new(Headway::default()), self.warm_up.hold_up());
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
            // By now a generation has what is still needed of it.
            self.warm_up.forget();
        }
        self.learn_speed(volume_speed::of(&committed));
        Ok((stopped, committed))
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
}

#[cfg(test)]
mod tests {
    use crik_store::generation::keys::GenerationKeys;
    use crik_store::image_dir::pod::Pod;

    use super::*;
    use crate::carry::program_files::Programs;
    use crate::config::{Config, Hook, Hooks, OnFailure};
    use crate::workload::{Life, Origin};

    #[tokio::test]
    async fn nothing_is_begun_after_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let ran = dir.path().join("ran");
        let command = vec!["touch".to_owned(), ran.display().to_string()];
        let hook = Hook { command, timeout: Duration::from_secs(5), on_failure: OnFailure::Ignore };
        let hooks = Hooks { pre_checkpoint: Some(hook), ..Hooks::default() };
        let config = Config { hooks, ..Config::default() };
        let workload = Arc::new(Workload {
            config,
            keys: GenerationKeys::default(),
            command: Vec::new(),
            pod: Pod::default(),
        });
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
            origin: Origin::default(),
        };
        let checkpointer = Checkpointer::new(&workload, running);
        let late = checkpointer.checkpoint(Instant::now() - Duration::from_secs(1)).await;
        assert!(late.is_err() && !ran.exists());
        let in_time = checkpointer.checkpoint(Instant::now() + Duration::from_secs(20)).await;
        assert!(in_time.unwrap_err().to_string().contains("no imageDir is configured") && ran.exists());
    }
}
