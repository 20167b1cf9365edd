//! One attempt to resume a generation: check, claim, bring back, record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::bounded_step::{Abandoned, within};
use crate::base::fault_points::{Point, reach};
use crate::base::point_of_no_return::PointOfNoReturn;
use crate::base::retry::Retries;
use crate::base::signals::Signals;
use crate::base::units::whole_ms;
use crate::carry::program_files::Programs;
use crate::restore::clock_back;
use crate::restore::steps::{Failure, on_volume, persistently};
use crate::restore::verified_restore;
use crate::store::generation::identity::Identity;
use crate::store::generation::manifest::Manifest;
use crate::store::image_dir::Generation;
use crate::store::image_dir::attempts::{AttemptOutcome, OpenAttempt};
use crate::store::image_dir::hold::Hold;
use crate::tree::criu::{self, give_up};
use crate::tree::process::reap;
use crate::tree::process::snapshot::Snapshot;
use crate::workload::{Life, RunningTree, Workload};

/// One rung: verify, claim, restore. However often the volume makes a step begin again, it is one attempt: a server that
/// fails over for some seconds must not use up `maxRestores`.
///
/// # Errors
/// Why it was not resumed; nothing of it is left.
pub async fn resume(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
    generation: Generation,
) -> Result<RunningTree, Failure> {
    let began = Instant::now();
    let limit = workload.config.volume_timeout;
    let mut retries = Retries::of_a_restore(limit);
    let manifest =
        persistently(&mut retries, signals, async || check(workload, signals, hold, generation).await)
            .await?;
    reach(Point::Verified);
    let take = async || {
        let (held, pod, max) = (Arc::clone(hold), workload.pod.clone(), workload.config.max_restores);
        on_volume(signals, limit, move || OpenAttempt::begin(&held, generation, &pod, max)).await
    };
    let claim = persistently(&mut retries, signals, take).await?;
    let outcome =
        persistently(&mut retries, signals, async || bring_back(workload, signals, hold, &manifest).await)
            .await;
    reach(Point::Resumed);
    record(claim, &outcome, signals, limit).await;
    outcome?;
    tell_restored(&manifest, began);
    let stayed = stayed(&manifest, workload.pod.node.as_deref());
    Ok(RunningTree {
        root: manifest.tree.root,
        init: manifest.tree.init,
        strays: strays(manifest.tree.root),
        resumed: Some(generation),
        stayed,
        hold: Some(Arc::clone(hold)),
        programs: Programs::of_the_past(manifest.identity.programs),
        life: Life::after(Duration::from_millis(manifest.clocks.as_ref().map_or(0, |clocks| clocks.ran_ms))),
        library: manifest.clocks.and_then(|clocks| clocks.library),
    })
}

/// Whether a checkpoint ended the tree on this `node`. One after which it went on says nothing of the state of the node.
fn stayed(manifest: &Manifest, node: Option<&str>) -> bool {
    node.is_some() && manifest.identity.node.as_deref() == node && !manifest.went_on
}

/// Reads the manifest, and finds what speaks against resuming it here.
async fn check(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
    generation: Generation,
) -> Result<Manifest, Failure> {
    // Asked here, since CRIU's descriptors are nothing for a step of its own.
    let criu =
        tokio::task::spawn_blocking(criu::version).await.map_err(|error| Failure::Skip(error.to_string()))?;
    let criu = criu.map_err(|error| Failure::Skip(error.to_string()))?;
    let (held, told) = (Arc::clone(hold), Arc::clone(workload));
    let check = move || {
        let here = Identity::here(&told.command, criu, told.pod.node.as_deref());
        let manifest = verified_restore::check(&held, generation, &here, told.key.as_ref())?;
        clock_back::check(&manifest, told.config.on_clock_back)?;
        anyhow::Ok(manifest)
    };
    on_volume(signals, workload.config.volume_timeout, check).await
}

async fn record(claim: OpenAttempt, outcome: &Result<(), Failure>, signals: &Signals, limit: Duration) {
    let outcome = match outcome {
        Ok(()) => AttemptOutcome::Resumed,
        Err(Failure::Stopped(_)) => AttemptOutcome::Interrupted,
        Err(Failure::Skip(reason) | Failure::NoAnswer(reason)) => AttemptOutcome::Failed(reason.clone()),
    };
    let recorded = within(signals, limit, move || claim.record(&outcome)).await;
    if let Err(Abandoned::Signal(signal)) = recorded {
        raise(signal);
    } else if let Err(error) =
        recorded.map_err(|error| error.to_string()).and_then(|done| done.map_err(|error| error.to_string()))
    {
        tracing::warn!("the outcome of the attempt cannot be recorded: {error}");
    }
}

/// Restores the tree, for at most `restoreTimeout`. After an error nothing of it is left.
async fn bring_back(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
    manifest: &Manifest,
) -> Result<(), Failure> {
    let (config, point_of_no_return) = (&workload.config, Arc::new(PointOfNoReturn::default()));
    let (held, manifest, asked) = (Arc::clone(hold), manifest.clone(), Arc::clone(&point_of_no_return));
    let told = Arc::clone(workload);
    let mut step =
        tokio::task::spawn_blocking(move || verified_restore::bring_back(&held, &manifest, &told, &asked));
    let failure = tokio::select! {
        done = &mut step => return restored(done.map_err(anyhow::Error::from).flatten()),
        () = tokio::time::sleep(config.restore_timeout) => {
            Failure::Skip(format!("it was not restored within {:?} (restoreTimeout)", config.restore_timeout))
        }
        signal = signals.to_end() => Failure::Stopped(signal.unwrap_or(libc::SIGTERM)),
    };
    if point_of_no_return.close() {
        give_up(step).await;
        reap::end_all_children();
        return Err(failure);
    }
    // The tree is about to run, and what came is for it.
    if let Failure::Stopped(signal) = failure {
        raise(signal);
    }
    restored(step.await.map_err(anyhow::Error::from).flatten())
}

fn restored(outcome: anyhow::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|error| {
        // Whatever is left holds process ids that the next rung needs.
        reap::end_all_children();
        Failure::Skip(error.to_string())
    })
}

/// Gives a signal back that was read too early; all are blocked, so it is read again by who comes next.
fn raise(signal: i32) {
    // SAFETY: raise(3) takes a number.
    unsafe { libc::raise(signal) };
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

fn tell_restored(manifest: &Manifest, began: Instant) {
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
