//! One attempt to resume a generation: verify, note, bring back, record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use crate::base::bounded_step::{Abandoned, BoundedSteps, StepError};
use crate::base::fault_points::{Point, reach};
use crate::base::point_of_no_return::PointOfNoReturn;
use crate::base::signals::Signals;
use crate::base::units::whole_ms;
use crate::carry::own_values;
use crate::carry::program_files::Programs;
use crate::restore::clock_back;
use crate::restore::failure::Failure;
use crate::restore::free_ids;
use crate::restore::verified_restore::{self, NotBroughtBack};
use crate::store::generation::identity::Identity;
use crate::store::generation::manifest::Manifest;
use crate::store::generation::verify::{self, Trust};
use crate::store::image_dir::Generation;
use crate::store::image_dir::attempts::{AttemptOutcome, OpenAttempt};
use crate::store::image_dir::hold::Hold;
use crate::tree::criu::{self, give_up};
use crate::tree::process::reap;
use crate::tree::process::snapshot::Snapshot;
use crate::workload::{Life, RunningTree, Workload};

/// Verifies, notes the attempt, and restores. However often the volume makes a step begin again, it is one attempt: a server
/// that fails over for some seconds must not use up `maxRestores`.
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
    let mut steps = BoundedSteps::of_a_restore(signals, workload.config.volume_timeout);
    let manifest = check(workload, &mut steps, hold, generation).await?;
    clock_back::check(&manifest, workload.config.on_clock_back)
        .map_err(|error| Failure::Skip(error.to_string()))?;
    reach(Point::Verified);
    let attempt = begin(workload, &mut steps, hold, generation).await?;
    let bring_back = async || {
        free_ids::make_way(workload, signals, hold).await?;
        bring_back(workload, signals, hold, &manifest).await
    };
    let outcome = steps.retry(bring_back).await;
    let outcome = outcome.map_err(Failure::from);
    reach(Point::Resumed);
    record(attempt, &outcome, &steps).await;
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
    steps: &mut BoundedSteps<'_>,
    hold: &Arc<Hold>,
    generation: Generation,
) -> Result<Manifest, Failure> {
    // Asked here, since CRIU's descriptors are nothing for a step of its own.
    let criu = spawn_blocking(criu::version).await.map_err(|error| Failure::Skip(error.to_string()))?;
    let criu = criu.map_err(|error| Failure::Skip(error.to_string()))?;
    let check = || {
        let (hold, workload) = (Arc::clone(hold), Arc::clone(workload));
        move || {
            let here = Identity::here(&workload.command, criu, workload.pod.node.as_deref())
                .with_own(own_values::of(&workload.pod));
            let trust = Trust { key: workload.key.as_ref(), image_dir: hold.dir().root() };
            verify::facts(&hold.dir().generation(generation), generation, &here, &trust)
                .inspect(|manifest| own_values::tell_kept(&manifest.identity, &here))
        }
    };
    Ok(steps.run(check).await?)
}

/// Notes the attempt on the volume.
async fn begin(
    workload: &Arc<Workload>,
    steps: &mut BoundedSteps<'_>,
    hold: &Arc<Hold>,
    generation: Generation,
) -> Result<OpenAttempt, Failure> {
    let begin = || {
        let (hold, pod, max) = (Arc::clone(hold), workload.pod.clone(), workload.config.max_restores);
        move || OpenAttempt::begin(&hold, generation, &pod, max)
    };
    Ok(steps.run(begin).await?)
}

async fn record(attempt: OpenAttempt, outcome: &Result<(), Failure>, steps: &BoundedSteps<'_>) {
    let outcome = match outcome {
        Ok(()) => AttemptOutcome::Resumed,
        Err(Failure::Stopped(_)) => AttemptOutcome::Interrupted,
        Err(Failure::Skip(reason) | Failure::NoAnswer(reason)) => AttemptOutcome::Failed(reason.clone()),
    };
    match steps.once(move || attempt.record(&outcome)).await {
        Ok(Ok(())) => {}
        Err(Abandoned::Signal(signal)) => raise(signal),
        Ok(Err(error)) => tell_unrecorded(&error),
        Err(error) => tell_unrecorded(&error),
    }
}

fn tell_unrecorded(error: &dyn std::error::Error) {
    tracing::warn!("the outcome of the attempt cannot be recorded: {error}");
}

/// Restores the tree, for at most `restoreTimeout`. After an error nothing of it is left.
async fn bring_back(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
    manifest: &Manifest,
) -> Result<(), StepError<NotBroughtBack>> {
    let (limit, point_of_no_return) = (workload.config.restore_timeout, Arc::<PointOfNoReturn>::default());
    let (held, manifest, asked) = (Arc::clone(hold), manifest.clone(), Arc::clone(&point_of_no_return));
    let told = Arc::clone(workload);
    let mut step = spawn_blocking(move || verified_restore::bring_back(&held, &manifest, &told, &asked));
    let why = tokio::select! {
        done = &mut step => return restored(done),
        () = sleep(limit) => StepError::Failed(NotBroughtBack::TooLong(limit)),
        signal = signals.to_end() => Abandoned::Signal(signal.unwrap_or(libc::SIGTERM)).into(),
    };
    if point_of_no_return.close() {
        give_up(step).await;
        reap::end_all_children();
        return Err(why);
    }
    // The tree is about to run, and what came is for it.
    if let StepError::Abandoned(Abandoned::Signal(signal)) = why {
        raise(signal);
    }
    restored(step.await)
}

fn restored(outcome: Result<Result<(), NotBroughtBack>, JoinError>) -> Result<(), StepError<NotBroughtBack>> {
    outcome.map_err(|error| NotBroughtBack::Broken(error.to_string())).flatten().map_err(|error| {
        // Whatever is left holds process ids that the next one needs.
        reap::end_all_children();
        StepError::Failed(error)
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
