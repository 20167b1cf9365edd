//! The stop: signal → decide → freeze → commit → exit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_gettime};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The tree is durable and has been killed.
    Checkpointed,
    /// The tree got the SIGTERM.
    Passed(Phase),
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
    let waited = whole_ms(began.elapsed());
    let outcome = match decision {
        Decision::Terminate(why) => {
            tracing::info!(
                step = "decide",
                decision = "terminate",
                ms = waited,
                "the application is told to stop: {why}"
            );
            Outcome::Passed(Phase::Terminating)
        }
        Decision::Checkpoint(why) => {
            tracing::info!(
                step = "decide",
                decision = "checkpoint",
                ms = waited,
                "a checkpoint is taken: {why}"
            );
            match checkpoint(setup, started, began).await {
                Ok(()) => return Ok(Outcome::Checkpointed),
                Err(error) => tracing::error!(
                    step = "stop",
                    "no checkpoint; the application is told to stop: {error:#}"
                ),
            }
            Outcome::Passed(Phase::CheckpointFailed)
        }
    };
    supervisor.forward(libc::SIGTERM);
    Ok(outcome)
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
async fn checkpoint(setup: &Setup, started: &Started, began: Instant) -> Result<()> {
    let path = setup.config.image_dir.as_deref().context("no imageDir is configured")?;
    let dir = ImageDir::open(path)?;
    let deadline = began + setup.config.grace_period.saturating_sub(setup.config.reserve);
    let taken = freeze_and_commit(setup, started, &dir, deadline).await;
    if taken.is_err() {
        dir.keep_log(&dir.staging().join("criu").join(limits::DUMP_LOG));
        let _ = dir.sweep_staging();
    }
    taken?.kill();
    Ok(())
}

async fn freeze_and_commit(
    setup: &Setup,
    started: &Started,
    dir: &ImageDir,
    deadline: Instant,
) -> Result<Stopped> {
    let generation = dir.next()?;
    let clock = Instant::now();
    let (identity, (stopped, staged)) = freeze(setup, started, dir, deadline).await?;
    tracing::info!(
        step = "freeze",
        processes = staged.tree.processes,
        bytes = staged.tree.resident_bytes,
        ms = whole_ms(clock.elapsed()),
        "the application is frozen"
    );
    let clock = Instant::now();
    let committed = commit(dir, manifest(generation, identity, staged)?, deadline).await?;
    tracing::info!(
        step = "commit",
        generation = generation.0,
        bytes = committed.total_bytes(),
        ms = whole_ms(clock.elapsed()),
        "generation {generation} is durable"
    );
    Ok(stopped)
}

async fn freeze(
    setup: &Setup,
    started: &Started,
    dir: &ImageDir,
    deadline: Instant,
) -> Result<(Identity, (Stopped, Staged))> {
    let request = freeze::Request {
        root: started.root,
        init: started.init.clone(),
        strays: started.strays.clone(),
        additional_paths: setup.config.additional_paths.clone(),
        inotify_incompatible_paths: setup.config.inotify_incompatible_paths.clone(),
    };
    let (dir, command, node) = (dir.clone(), setup.command.clone(), setup.node.clone());
    let mut dump = spawn_blocking(move || -> Result<_> {
        let identity = Identity::here(&command, criu::version()?, node.as_deref());
        Ok((identity, freeze::freeze(&dir, &request)?))
    });
    if let Ok(done) = timeout_at(deadline, &mut dump).await {
        return done?;
    }
    criu::cancel();
    give_up(dump).await;
    bail!("the dump would not be done within gracePeriod less reserve");
}

/// Waits a moment for a blocking step that was cancelled; what it returns is dropped, so that a stopped tree goes on.
async fn give_up<T>(step: JoinHandle<T>) {
    let _ = tokio::time::timeout(limits::CANCEL_PATIENCE, step).await;
}

async fn commit(dir: &ImageDir, manifest: Manifest, deadline: Instant) -> Result<Manifest> {
    let too_late = Arc::new(AtomicBool::new(false));
    let (dir, flag) = (dir.clone(), Arc::clone(&too_late));
    let still_wanted = move || !flag.load(Ordering::Acquire);
    let step = spawn_blocking(move || commit::commit(&dir, manifest, still_wanted));
    match timeout_at(deadline, step).await {
        Ok(done) => Ok(done??),
        Err(_) => {
            too_late.store(true, Ordering::Release);
            bail!("the volume was too slow for gracePeriod less reserve");
        }
    }
}

fn manifest(generation: Generation, identity: Identity, staged: Staged) -> Result<Manifest> {
    Ok(Manifest {
        version: manifest::VERSION,
        generation,
        created_at: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        crik_version: env!("CARGO_PKG_VERSION").to_owned(),
        identity,
        tree: staged.tree,
        stdio: staged.stdio,
        cgroups: staged.cgroups,
        extra_paths: staged.extra_paths,
        monotonic_seconds: clock_gettime(ClockId::CLOCK_MONOTONIC)?.tv_sec().unsigned_abs(),
        durations_ms: staged.durations_ms,
        files: manifest::Files::new(),
    })
}
