//! The start: find → verify → claim → restore, rung by rung, and a fresh start below the last.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use std::{io, thread};

use anyhow::{Result, anyhow};
use nix::time::{ClockId, clock_gettime};
use thiserror::Error;

use crate::claim::Claim;
use crate::config::{Config, OnRestoreFailure};
use crate::identity::Identity;
use crate::image_dir::{Generation, ImageDir};
use crate::init::NoPlace;
use crate::logging::whole_ms;
use crate::manifest::Manifest;
use crate::spawn::SpawnError;
use crate::tree::Snapshot;
use crate::verify::VerifyError;
use crate::{criu, find, init, limits, reap, restore, spawn, verify};

/// What a start is given.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// The application's command line.
    pub command: Vec<OsString>,
    /// The node's name, if the pod knows it.
    pub node: Option<String>,
}

/// A tree that runs.
#[derive(Debug)]
pub struct Started {
    /// Its root.
    pub root: i32,
    /// The program of the root.
    pub init: PathBuf,
    /// Processes that the restore put outside the tree; none, unless something went wrong.
    pub strays: Vec<i32>,
    /// The generation from which it was resumed.
    pub resumed: Option<Generation>,
}

/// Why nothing runs.
#[derive(Debug, Error)]
pub enum StartError {
    /// A person wanted to be asked.
    #[error("nothing could be resumed, and onRestoreFailure is fail; see the reasons above")]
    NotResumed,
    /// The fresh start failed.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The init has no place to be.
    #[error(transparent)]
    Init(#[from] NoPlace),
}

/// Climbs the ladder.
///
/// # Errors
/// Nothing runs.
pub async fn start(setup: &Setup) -> Result<Started, StartError> {
    match resume_newest(setup).await {
        Ok(Some(started)) => return Ok(started),
        Ok(None) => {}
        Err(_) if setup.config.on_restore_failure == OnRestoreFailure::Fail => {
            return Err(StartError::NotResumed);
        }
        Err(_) => tracing::warn!(step = "start", "nothing could be resumed; the application starts fresh"),
    }
    fresh(setup)
}

/// Something was there to resume, and could not be.
struct Unresumable;

async fn resume_newest(setup: &Setup) -> Result<Option<Started>, Unresumable> {
    let Some(path) = &setup.config.image_dir else { return Ok(None) };
    let found = ImageDir::open(path).and_then(|dir| Ok((find::rungs(&dir)?, dir)));
    let (rungs, dir) = found.map_err(|error| {
        tracing::error!(step = "find", "cannot look for checkpoints: {error}");
        Unresumable
    })?;
    for generation in &rungs {
        match resume(setup, &dir, *generation).await {
            Ok(started) => return Ok(Some(started)),
            Err(reason) => tracing::warn!(step = "start", "generation {generation} is skipped: {reason:#}"),
        }
    }
    if rungs.is_empty() { Ok(None) } else { Err(Unresumable) }
}

/// One rung.
async fn resume(setup: &Setup, dir: &ImageDir, generation: Generation) -> Result<Started> {
    let began = Instant::now();
    let here = Identity::here(&setup.command, criu::version()?, setup.node.as_deref());
    let path = dir.generation(generation);
    let manifest = verify::facts(&path, generation, &here)?;
    // Before the claim: a volume that cannot even do this should not use up an attempt.
    let work = dir.clean_staging()?;
    if setup.config.verify_hashes {
        verify::extra_files(&path, &manifest)?;
    }
    let claim = Claim::take(dir, generation, &here.host, here.node.as_deref(), setup.config.max_restores)?;
    let outcome = bring_back(setup, dir, &manifest, work).await;
    let told = outcome.as_ref().map_or_else(|reason| format!("{reason:#}"), |()| "resumed".to_owned());
    if let Err(error) = claim.record(&told) {
        tracing::warn!("the outcome of the attempt cannot be recorded: {error}");
    }
    outcome?;
    tell_restored(&manifest, began);
    Ok(Started {
        root: manifest.tree.root,
        init: manifest.tree.init,
        strays: strays(manifest.tree.root),
        resumed: Some(generation),
    })
}

/// Verifies and restores side by side; nothing of the tree runs before both are good.
async fn bring_back(setup: &Setup, dir: &ImageDir, manifest: &Manifest, work: PathBuf) -> Result<()> {
    let path = dir.generation(manifest.generation);
    let verdict = Arc::new(OnceLock::new());
    if setup.config.verify_hashes {
        verify_beside(&path, manifest, &verdict);
    } else {
        let _ = verdict.set(Ok(()));
    }
    let log = work.join(limits::RESTORE_LOG);
    let (asked, copy) = (Arc::clone(&verdict), manifest.clone());
    let judge = move || asked.wait().as_ref().copied().map_err(|error| io::Error::other(error.to_string()));
    let restored = tokio::task::spawn_blocking(move || restore::restore(&path, &copy, &work, judge)).await?;
    let Err(error) = restored else { return Ok(()) };
    // Whatever is left holds process ids that the next rung needs.
    reap::end_all_children();
    dir.keep_log(&log);
    // An altered image can make CRIU fail in any way; then the verification knows why.
    verdict.wait().as_ref().map_err(|altered| anyhow!("{altered}"))?;
    Err(error.into())
}

/// What the verification says, once it says something.
type Verdict = OnceLock<Result<(), VerifyError>>;

fn verify_beside(path: &Path, manifest: &Manifest, verdict: &Arc<Verdict>) {
    let (path, manifest, verdict) = (path.to_owned(), manifest.clone(), Arc::clone(verdict));
    thread::spawn(move || verdict.set(verify::images(&path, &manifest)));
}

/// Right after a restore, whatever is a child of ours beside the root has slipped out of the tree.
fn strays(root: i32) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let snapshot = Snapshot::take();
    let strays: Vec<i32> = snapshot.children(own).map(|child| child.pid).filter(|pid| *pid != root).collect();
    if !strays.is_empty() {
        tracing::warn!(
            "processes {strays:?} are outside the tree; no checkpoint can be taken as long as they live"
        );
    }
    strays
}

/// How far the monotonic clock went back from the machine where the tree was frozen to this one, in seconds. A timer
/// that was set by it comes late by as much; CRIU can only prevent that with capabilities that a pod should not need.
fn clock_went_back(then: u64, now: u64) -> Option<u64> {
    then.checked_sub(now).filter(|seconds| *seconds > 0)
}

fn tell_restored(manifest: &Manifest, began: Instant) {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(u64::MAX, |now| now.tv_sec().unsigned_abs());
    if let Some(seconds) =
        clock_went_back(manifest.monotonic_seconds, now).filter(|_| !criu::may_restore_clocks())
    {
        tracing::warn!(
            "this machine was booted later than the one before: CLOCK_MONOTONIC goes back by {seconds} s, and what waits \
             for a time on it may wait longer by that; the capabilities SYS_ADMIN and SYS_TIME let CRIU prevent it"
        );
    }
    let (generation, size) = (manifest.generation, manifest.total_bytes());
    tracing::info!(
        step = "restore",
        generation = generation.0,
        processes = manifest.tree.processes,
        bytes = size,
        ms = whole_ms(began.elapsed()),
        "restored generation {generation}; the application goes on"
    );
}

fn fresh(setup: &Setup) -> Result<Started, StartError> {
    let began = Instant::now();
    let init = init::install(setup.config.image_dir.as_deref())?;
    let root = spawn::spawn(&init, &setup.command)?;
    tracing::info!(step = "start", ms = whole_ms(began.elapsed()), "the application starts fresh");
    Ok(Started { root, init, strays: Vec::new(), resumed: None })
}

#[cfg(test)]
mod tests {
    use super::clock_went_back;

    #[test]
    fn only_a_clock_that_went_back_is_told() {
        assert_eq!(clock_went_back(86_400, 600), Some(85_800));
        assert_eq!(clock_went_back(600, 86_400), None);
        assert_eq!(clock_went_back(600, 600), None);
    }
}
