//! One attempt to resume a generation: verify, note, bring back, record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crik_store::generation::identity::Identity;
use crik_store::generation::manifest::{Manifest, ManifestError};
use crik_store::generation::verify::{self, Trust, VerifyError};
use crik_store::image_dir::Generation;
use crik_store::image_dir::attempts::{AttemptError, AttemptOutcome, Attempts, OpenAttempt};
use crik_store::image_dir::hold::Hold;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::base::bounded_step::{Abandoned, BoundedSteps, StepError, told_to_stop};
use crate::base::fault_points::{Point, reach};
use crate::base::headway::Headway;
use crate::base::limits;
use crate::base::signals::Signals;
use crate::base::units::{self, whole_ms};
use crate::carry::own_values;
use crate::carry::pod_facts;
use crate::carry::program_files::Programs;
use crate::restore::clock_back;
use crate::restore::failure::Failure;
use crate::restore::free_ids;
use crate::restore::own_ipc;
use crate::restore::own_rights;
use crate::restore::stall::{criu_is_gone, stalled};
use crate::restore::verified_restore::{self, NotBroughtBack};
use crate::restore::went_on;
use crate::tree::criu::{self, give_up};
use crate::tree::process::lacking_rights::enough;
use crate::tree::process::reap;
use crate::tree::process::snapshot::Snapshot;
use crate::workload::{Life, Origin, RunningTree, Workload};

type Step = JoinHandle<Result<(), NotBroughtBack>>;

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
    let config = &workload.config;
    let mut steps =
        BoundedSteps::of_a_restore(signals, config.volume_timeout).waiting(config.volume_patience());
    let manifest = Arc::new(check(workload, &mut steps, hold, generation).await?);
    clock_back::check(&manifest, workload.config.on_clock_back)
        .map_err(|error| Failure::Skip(error.to_string()))?;
    own_ipc::check(&manifest).map_err(|error| Failure::Skip(error.to_string()))?;
    own_rights::check(&manifest).map_err(|error| Failure::Skip(error.to_string()))?;
    reach(Point::Verified);
    // Before it counts as an attempt: it says nothing of the generation.
    free_ids::clear(workload, signals, hold, generation).await?;
    let (attempt, went_on) = begin(workload, &mut steps, hold, generation).await?;
    tell_tried(&manifest);
    let outcome = bring_back_from_any_volume(workload, signals, &mut steps, hold, &manifest).await;
    let ran = Duration::from_millis(manifest.clocks.as_ref().map_or(0, |clocks| clocks.ran_ms));
    let life = Life::after(ran);
    reach(Point::Resumed);
    // The tree may run, and must not be left alone for as long as a volume is waited for.
    let waited = steps.is_waiting();
    record(attempt, &outcome, waited, &mut BoundedSteps::new(signals, config.volume_timeout)).await;
    outcome?;
    tell_restored(&manifest, began);
    let stayed = !went_on && stayed(&manifest, workload.pod.node.as_deref());
    Ok(RunningTree {
        root: manifest.tree.root,
        init: manifest.tree.init.clone(),
        strays: strays(manifest.tree.root),
        resumed: Some(generation),
        stayed,
        hold: Some(Arc::clone(hold)),
        beside_another: false,
        programs: Programs::of_the_past(manifest.identity.programs.clone()),
        life,
        library: manifest.clocks.as_ref().and_then(|clocks| clocks.library.clone()),
        origin: origin(&manifest),
    })
}

fn origin(manifest: &Manifest) -> Origin {
    let saved = Duration::from_millis(manifest.ran_since_start_ms);
    Origin { node: manifest.identity.node.clone(), saved, ..Origin::default() }
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
    // What this container may not do would make one attempt after the other fail, and none of them is to be blamed on the generation.
    enough().map_err(|lacking| Failure::Skip(lacking.to_string()))?;
    // Asked beside the step, which takes as long, and not in it, since CRIU's descriptors are nothing for one.
    let criu = spawn_blocking(criu::version);
    let check = || {
        let (hold, workload) = (Arc::clone(hold), Arc::clone(workload));
        move || {
            let here = Identity::here(&workload.command, workload.pod.node.as_deref())
                .with_own(own_values::of(&workload.pod));
            let trust = Trust { key: workload.keys.signing.as_ref(), image_dir: hold.dir().root() };
            let path = hold.dir().bring(generation).map_err(ManifestError::Read)?;
            let manifest = verify::facts(&path, generation, &here, &trust)?;
            let programs = &manifest.identity.programs;
            pod_facts::compare(programs, &workload.config, &workload.command, &here.own)?;
            own_values::tell_kept(&manifest.identity, &here);
            Ok::<_, VerifyError>(manifest)
        }
    };
    let manifest = steps.run(check).await?;
    let criu = criu.await.map_err(|error| Failure::Skip(error.to_string()))?;
    let criu = criu.map_err(|error| Failure::Skip(error.to_string()))?;
    match manifest.identity.too_new_for(criu) {
        Some(why) => Err(Failure::Skip(why)),
        None => Ok(manifest),
    }
}

/// Notes the attempt on the volume. Says too whether the tree went on after the checkpoint that had stopped it.
async fn begin(
    workload: &Arc<Workload>,
    steps: &mut BoundedSteps<'_>,
    hold: &Arc<Hold>,
    generation: Generation,
) -> Result<(OpenAttempt, bool), Failure> {
    let begin = || {
        let (hold, pod, max) = (Arc::clone(hold), workload.pod.clone(), workload.config.max_restores);
        move || {
            let went_on = Attempts::read(hold.dir(), generation)?.attempts.iter().any(went_on::is_noted);
            Ok::<_, AttemptError>((OpenAttempt::begin(&hold, generation, &pod, max)?, went_on))
        }
    };
    Ok(steps.run(begin).await?)
}

/// Writes down what came of it. If the pod was told to stop while the volume was `waited` for, that is no word on the generation either.
async fn record(
    attempt: OpenAttempt,
    outcome: &Result<(), Failure>,
    waited: bool,
    steps: &mut BoundedSteps<'_>,
) {
    let outcome = match outcome {
        Ok(()) => AttemptOutcome::Resumed,
        Err(Failure::Stopped(_)) if waited => {
            AttemptOutcome::Unread("a SIGTERM came while the volume was waited for".to_owned())
        }
        Err(Failure::Stopped(_)) => AttemptOutcome::Interrupted,
        Err(Failure::Unread(reason)) => AttemptOutcome::Unread(reason.clone()),
        Err(Failure::Skip(reason)) => AttemptOutcome::Failed(reason.clone()),
    };
    match steps.once(move || attempt.record(&outcome)).await {
        Ok(Ok(())) => {}
        Err(Abandoned::Signal(signal)) => steps.give_back(signal),
        Ok(Err(error)) => tell_unrecorded(&error),
        Err(error) => tell_unrecorded(&error),
    }
}

fn tell_unrecorded(error: &dyn std::error::Error) {
    tracing::warn!("the outcome of the attempt cannot be recorded: {error}");
}

/// Restores the tree. Not every failure says that the volume is its reason, a CRIU that waits for it least of all: so the volume is
/// asked, and if it had to be waited for, it is tried again.
async fn bring_back_from_any_volume(
    workload: &Arc<Workload>,
    signals: &Signals,
    steps: &mut BoundedSteps<'_>,
    hold: &Arc<Hold>,
    manifest: &Arc<Manifest>,
) -> Result<(), Failure> {
    let mut again = false;
    loop {
        let bring_back = async || {
            free_ids::make_way(workload, signals, hold).await?;
            if !std::mem::replace(&mut again, true) {
                return bring_back(workload, signals, hold, manifest).await;
            }
            // Somebody may have come since, which would be why it failed.
            let cleared = free_ids::clear(workload, signals, hold, manifest.generation).await;
            cleared.map_err(|error| match error {
                StepError::Failed(taken) => StepError::Failed(NotBroughtBack::Taken(taken)),
                StepError::Abandoned(abandoned) => StepError::Abandoned(abandoned),
            })?;
            bring_back(workload, signals, hold, manifest).await
        };
        let outcome = steps.retry(bring_back).await;
        let failure = match outcome.map_err(Failure::from) {
            Err(failure @ Failure::Skip(_)) => failure,
            other => return other,
        };
        let _ = steps.was_troubled();
        check(workload, steps, hold, manifest.generation).await?;
        if !steps.was_troubled() {
            return Err(failure);
        }
    }
}

/// Restores the tree, as long as something of it moves. After an error nothing of it is left.
async fn bring_back(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
    manifest: &Arc<Manifest>,
) -> Result<(), StepError<NotBroughtBack>> {
    let (limit, headway) = (workload.config.restore_timeout, Arc::<Headway>::default());
    let (tell, mut running) = mpsc::unbounded_channel();
    let mut step = {
        let (hold, manifest) = (Arc::clone(hold), Arc::clone(manifest));
        let (workload, headway) = (Arc::clone(workload), Arc::clone(&headway));
        let runs = move || {
            // Nobody may be left to hear it.
            let _ = tell.send(());
        };
        spawn_blocking(move || verified_restore::bring_back(&hold, &manifest, &workload, &headway, runs))
    };
    let why = tokio::select! {
        done = &mut step => return restored(done),
        Some(()) = running.recv() => return farewell(step).await,
        () = stalled(limit, &headway) => StepError::Failed(NotBroughtBack::Stalled(limit)),
        () = criu_is_gone() => StepError::Failed(NotBroughtBack::CriuGone),
        told = told_to_stop(signals) => told.into(),
    };
    if headway.give_up() {
        return Err(given_up(step, why, &headway, workload.config.volume_timeout).await);
    }
    // The tree is about to run, and what came is for it.
    if let StepError::Abandoned(Abandoned::Signal(signal)) = why {
        signals.give_back(signal);
    }
    tokio::select! {
        done = &mut step => restored(done),
        Some(()) = running.recv() => farewell(step).await,
    }
}

/// The tree runs, and CRIU is about to end; if the volume holds it up, nobody waits for it.
async fn farewell(step: Step) -> Result<(), StepError<NotBroughtBack>> {
    if timeout(limits::FAREWELL_PATIENCE, step).await.is_err() {
        tracing::warn!(
            step = "restore",
            "criu does not end, though the application runs; does the volume hang?"
        );
    }
    Ok(())
}

/// Ends what was given up. The next generation must not be touched while the step still works, since that puts files back and takes
/// them away; if it hangs on the volume, the next one would too.
async fn given_up(
    step: Step,
    why: StepError<NotBroughtBack>,
    headway: &Headway,
    patience: Duration,
) -> StepError<NotBroughtBack> {
    let left = give_up(step).await;
    reap::end_all_children();
    let (Some(step), StepError::Failed(_)) = (left, &why) else { return why };
    if timeout(patience, step).await.is_ok() {
        return why;
    }
    headway.disown();
    Abandoned::NoAnswer(patience).into()
}

fn restored(outcome: Result<Result<(), NotBroughtBack>, JoinError>) -> Result<(), StepError<NotBroughtBack>> {
    outcome.map_err(|error| NotBroughtBack::Broken(error.to_string())).flatten().map_err(|error| {
        // Whatever is left holds process ids that the next one needs.
        reap::end_all_children();
        StepError::Failed(error)
    })
}

/// Right after a restore, whatever is a child of ours beside the root has slipped out of the tree.
fn strays(root: i32) -> Vec<i32> {
    let own = std::process::id().cast_signed();
    let snapshot = Snapshot::take();
    let others = [Some(root), criu::child_pid()];
    let strays: Vec<i32> =
        snapshot.children(own).map(|child| child.pid).filter(|pid| !others.contains(&Some(*pid))).collect();
    if !strays.is_empty() {
        tracing::warn!(
            "processes {strays:?} are outside the tree; no checkpoint can be taken as long as they live"
        );
    }
    strays
}

/// Said before, since a large one takes its time, and a log that says nothing meanwhile looks like one of a program that hangs.
fn tell_tried(manifest: &Manifest) {
    tracing::info!(
        step = "restore",
        "resuming generation {}: {}, taken {} ago by {}",
        manifest.generation,
        units::bytes(manifest.total_bytes()),
        units::ago(manifest.created_at),
        manifest.identity.host
    );
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
