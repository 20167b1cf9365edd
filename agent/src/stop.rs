//! The stop: signal → decide → freeze → commit → exit.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_gettime};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use crate::commit::LastCall;
use crate::decide::{Decision, Policy};
use crate::ends::Phase;
use crate::freeze::{self, Staged, Stopped};
use crate::identity::Identity;
use crate::image_dir::{Generation, ImageDir};
use crate::logging::whole_ms;
use crate::manifest::{self, Manifest};
use crate::node_state::Node;
use crate::reap::Status;
use crate::start::{Setup, Started};
use crate::supervise::{Event, Supervisor};
use crate::{commit, criu, limits};

/// How a SIGTERM was answered.
#[derive(Debug)]
pub enum Outcome {
    /// The tree is durable and has been killed.
    Checkpointed,
    /// The tree got the SIGTERM, and there may be something left to do on the volume.
    Passed(Phase, Option<JoinHandle<()>>),
    /// The tree ended before there was a decision.
    Ended(Status),
}

/// Answers a SIGTERM.
///
/// # Errors
/// Only those of watching over the tree; a checkpoint that fails is an outcome.
pub async fn stop(
    setup: &Setup,
    started: &Started,
    node: Option<&Node>,
    supervisor: &mut Supervisor,
) -> Result<Outcome> {
    let began = Instant::now();
    let decision = tokio::select! {
        decision = decide(setup, node) => decision,
        status = ended(supervisor) => return Ok(Outcome::Ended(status?)),
    };
    tell(&decision, whole_ms(began.elapsed()));
    if let Decision::Terminate(_) = decision {
        supervisor.forward(libc::SIGTERM);
        return Ok(Outcome::Passed(Phase::Terminating, mark_ended(setup)));
    }
    let staging = Staging::default();
    let Err(error) = checkpoint(setup, started, began, &staging).await else {
        return Ok(Outcome::Checkpointed);
    };
    // First of all: what is left of the grace period is the application's.
    supervisor.forward(libc::SIGTERM);
    tracing::error!(step = "stop", "no checkpoint; the application is told to stop: {error:#}");
    Ok(Outcome::Passed(Phase::CheckpointFailed, Some(clean_up(setup, staging))))
}

/// Someone wants it stopped, so its past is not resumed, also if it outlives its grace period and is killed.
fn mark_ended(setup: &Setup) -> Option<JoinHandle<()>> {
    let path = setup.config.image_dir.clone()?;
    Some(spawn_blocking(move || ImageDir::end(&path, "told to stop")))
}

fn tell(decision: &Decision, ms: u64) {
    match decision {
        Decision::Terminate(why) => {
            tracing::info!(
                step = "decide",
                decision = "terminate",
                ms,
                "the application is told to stop: {why}"
            );
        }
        Decision::Checkpoint(why) => {
            tracing::info!(step = "decide", decision = "checkpoint", ms, "a checkpoint is taken: {why}");
        }
    }
}

/// Passes signals on until the tree ends; further SIGTERMs say nothing new.
async fn ended(supervisor: &mut Supervisor) -> Result<Status> {
    loop {
        match supervisor.next().await? {
            Event::Ended(status) => return Ok(status),
            Event::Signal(libc::SIGTERM) => {}
            Event::Signal(signal) => supervisor.forward(signal),
        }
    }
}

async fn decide(setup: &Setup, node: Option<&Node>) -> Decision {
    let config = &setup.config;
    if config.image_dir.is_none() {
        return Decision::Terminate("no imageDir is configured".to_owned());
    }
    let Some(node) = node else { return Decision::Checkpoint("no controller is configured".to_owned()) };
    let policy = Policy { checkpoint_on: config.checkpoint_on.clone(), on_unknown: config.on_unknown };
    let verdict = |time_is_up| policy.decide(node.known().as_ref().map_err(Arc::clone), time_is_up);
    let learned = node.ask_until(Instant::now() + config.decision_timeout, || verdict(false).is_some());
    if verdict(false).is_none() {
        learned.await;
    }
    // At the end there is always a verdict.
    verdict(true).unwrap_or_else(|| Decision::Checkpoint("there was no verdict".to_owned()))
}

/// Takes a checkpoint and kills the tree. On an error the tree runs on.
async fn checkpoint(setup: &Setup, started: &Started, began: Instant, staging: &Staging) -> Result<()> {
    let deadline = began + setup.config.grace_period.saturating_sub(setup.config.reserve);
    let clock = Instant::now();
    // The stopped tree stays here, so that it goes on at the first error, whatever a step on the volume still does.
    let (stopped, staged) = freeze(setup, started, staging, deadline).await?;
    tracing::info!(
        step = "freeze",
        processes = staged.tree.processes,
        bytes = staged.tree.resident_bytes,
        ms = whole_ms(clock.elapsed()),
        "the application is frozen"
    );
    let clock = Instant::now();
    let committed = commit(setup, staged, staging, deadline).await?;
    tracing::info!(
        step = "commit",
        generation = committed.generation.0,
        bytes = committed.total_bytes(),
        ms = whole_ms(clock.elapsed()),
        "generation {} is durable",
        committed.generation
    );
    stopped.kill();
    Ok(())
}

/// Held by whoever works in the staging directory. A step that is given up may hold it for as long as the volume likes.
type Staging = Arc<Mutex<()>>;

fn enter(staging: &Staging) -> MutexGuard<'_, ()> {
    staging.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn freeze(
    setup: &Setup,
    started: &Started,
    staging: &Staging,
    deadline: Instant,
) -> Result<(Stopped, Staged)> {
    let wanted = Arc::new(AtomicBool::new(true));
    let request = freeze::Request {
        root: started.root,
        init: started.init.clone(),
        strays: started.strays.clone(),
        inotify_incompatible_paths: setup.config.inotify_incompatible_paths.clone(),
        wanted: Arc::clone(&wanted),
    };
    let (path, staging) = (image_dir(setup)?, Arc::clone(staging));
    let mut dump = spawn_blocking(move || -> Result<_> {
        let _inside = enter(&staging);
        Ok(freeze::freeze(&ImageDir::open(&path)?, &request)?)
    });
    if let Ok(done) = timeout_at(deadline, &mut dump).await {
        return done?;
    }
    wanted.store(false, Ordering::Release);
    give_up(dump).await;
    bail!("the dump would not be done within gracePeriod less reserve");
}

/// Ends CRIU and waits a moment for the step; what it returns is dropped, so that a stopped tree goes on.
async fn give_up<T>(mut step: JoinHandle<T>) {
    let patience = Instant::now() + limits::CANCEL_PATIENCE;
    while Instant::now() < patience {
        // Again and again: it may just be about to start.
        criu::cancel();
        if timeout_at(Instant::now() + limits::CANCEL_PAUSE, &mut step).await.is_ok() {
            return;
        }
    }
}

async fn commit(setup: &Setup, staged: Staged, staging: &Staging, deadline: Instant) -> Result<Manifest> {
    let (path, staging, setting) = (image_dir(setup)?, Arc::clone(staging), manifest_setting(setup));
    let last_call = Arc::new(LastCall::default());
    let asked = Arc::clone(&last_call);
    let additional: Vec<PathBuf> =
        setup.config.additional_paths.iter().chain([&staged.tree.init]).cloned().collect();
    let mut step = spawn_blocking(move || -> Result<_> {
        let _inside = enter(&staging);
        let dir = ImageDir::open(&path)?;
        let manifest = setting.manifest(dir.next()?, staged)?;
        Ok(commit::commit(&dir, manifest, &additional, &asked)?)
    });
    match timeout_at(deadline, &mut step).await {
        Ok(done) => done?,
        Err(_) if last_call.close() => bail!("the volume was too slow for gracePeriod less reserve"),
        // The rename is under way: the checkpoint may exist, so the application must not go on without knowing.
        Err(_) => step.await?,
    }
}

fn image_dir(setup: &Setup) -> Result<PathBuf> {
    setup.config.image_dir.clone().context("no imageDir is configured")
}

/// Saves CRIU's log and removes what is left of a failed checkpoint, once nobody works there any more.
fn clean_up(setup: &Setup, staging: Staging) -> JoinHandle<()> {
    let path = image_dir(setup);
    spawn_blocking(move || {
        let _inside = enter(&staging);
        let Some(dir) = path.ok().and_then(|path| ImageDir::open(&path).ok()) else { return };
        dir.keep_log(&dir.staging().join("criu").join(limits::DUMP_LOG));
        if let Err(error) = dir.sweep_staging() {
            tracing::warn!("the staging directory is left behind: {error}");
        }
    })
}

/// What the manifest says besides what was staged.
struct Setting {
    command: Vec<OsString>,
    node: Option<String>,
}

fn manifest_setting(setup: &Setup) -> Setting {
    Setting { command: setup.command.clone(), node: setup.node.clone() }
}

impl Setting {
    fn manifest(&self, generation: Generation, staged: Staged) -> Result<Manifest> {
        Ok(Manifest {
            version: manifest::VERSION,
            generation,
            created_at: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            crik_version: env!("CARGO_PKG_VERSION").to_owned(),
            identity: Identity::here(&self.command, criu::version()?, self.node.as_deref()),
            tree: staged.tree,
            stdio: staged.stdio,
            cgroups: staged.cgroups,
            extra_paths: Vec::new(),
            monotonic_seconds: clock_gettime(ClockId::CLOCK_MONOTONIC)?.tv_sec().unsigned_abs(),
            durations_ms: staged.durations_ms,
            files: manifest::Files::new(),
        })
    }
}
