//! The start: acquire → resume, the newest generation first → or a fresh start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crik_store::image_dir::hold::Hold;
use thiserror::Error;

use crate::base::bounded_step::{Abandoned, BoundedSteps};
use crate::base::panics::contained;
use crate::base::signals::Signals;
use crate::base::units::whole_ms;
use crate::carry::install_init::{self, NoPlace};
use crate::carry::own_values;
use crate::carry::pod_facts;
use crate::carry::program_files;
use crate::config::{OnClaimed, OnRestoreFailure, OnVolumeUnavailable};
use crate::restore::restored_json;
use crate::restore::resume::{self, Unresumed};
use crate::supervise::acquire::{AcquireError, acquire};
use crate::supervise::clocks;
use crate::supervise::environment;
use crate::supervise::spawn::{self, SpawnError};
use crate::tree::process::reap;
use crate::workload::{Life, Origin, RunningTree, Workload};

/// Why nothing runs.
#[derive(Debug, Error)]
pub enum StartError {
    /// A person wanted to be asked.
    #[error("nothing could be resumed, and onRestoreFailure is fail; see the reasons above")]
    NotResumed,
    /// The volume could not be read for too long.
    #[error(
        "it is not known what there is to resume, so nothing is started: {0}; mend the volume, or see onVolumeUnavailable"
    )]
    Unread(String),
    /// Another pod has the image directory.
    #[error(transparent)]
    Held(AcquireError),
    /// The pod was told to stop before anything ran.
    #[error(
        "signal {0} came before the application ran; if nobody has deleted the pod, its liveness probe did it: give the container a \
         startupProbe that bears with a restore, with claimExpiry, and with a volume that fails over"
    )]
    Stopped(i32),
    /// The fresh start failed.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The init has no place to be.
    #[error(transparent)]
    Init(#[from] NoPlace),
}

/// Takes the image directory, climbs down the ladder, and starts fresh below.
///
/// # Errors
/// Nothing runs. The image directory is then given back.
pub async fn start(workload: &Arc<Workload>, signals: &Signals) -> Result<RunningTree, StartError> {
    let place =
        contained(place(workload, signals)).await.unwrap_or_else(|defect| unresumable(workload, &defect))?;
    let hold = place.hold().cloned();
    let started = start_with(workload, signals, place).await;
    if let (Err(_), Some(hold)) = (&started, hold) {
        let mut steps = BoundedSteps::new(signals, workload.config.volume_timeout);
        let _ = steps.once(move || hold.release()).await;
    }
    started
}

/// Where there may be something to resume.
enum Place {
    /// No image directory is configured; or it cannot be used, for this reason.
    Nowhere(Option<String>),
    /// This pod has it.
    Held(Arc<Hold>),
    /// Another pod has it, and lives, as is told here.
    Anothers(String),
}

impl Place {
    fn hold(&self) -> Option<&Arc<Hold>> {
        if let Self::Held(hold) = self { Some(hold) } else { None }
    }

    /// Why nothing was looked for, if there could have been something.
    fn why_not(&self) -> Option<String> {
        match self {
            Self::Nowhere(why) => why.clone(),
            Self::Held(_) => None,
            Self::Anothers(why) => Some(why.clone()),
        }
    }
}

/// Takes the image directory, if there is one to take.
async fn place(workload: &Arc<Workload>, signals: &Signals) -> Result<Place, StartError> {
    let config = &workload.config;
    let Some(path) = &config.image_dir else { return Ok(Place::Nowhere(None)) };
    match acquire(path, config, &workload.pod, signals).await {
        Ok(hold) => Ok(Place::Held(hold)),
        Err(AcquireError::Abandoned(Abandoned::Signal(signal))) => Err(StartError::Stopped(signal.number)),
        Err(held @ (AcquireError::Held { .. } | AcquireError::Contended { .. }))
            if config.on_claimed != OnClaimed::Fresh =>
        {
            Err(StartError::Held(held))
        }
        Err(held @ (AcquireError::Held { .. } | AcquireError::Contended { .. })) => {
            tracing::warn!(step = "hold", "the application starts fresh and is not checkpointed: {held}");
            Ok(Place::Anothers(held.to_string()))
        }
        Err(error) if error.is_unread() => {
            unread(workload, error.to_string()).map(|()| Place::Nowhere(Some(error.to_string())))
        }
        Err(error) => unresumable(workload, &error),
    }
}

/// Goes on without the image directory, if that is what the user wants.
fn unresumable(workload: &Workload, error: &dyn std::error::Error) -> Result<Place, StartError> {
    tracing::error!(step = "find", "cannot look for checkpoints: {error}");
    match workload.config.on_restore_failure {
        OnRestoreFailure::Fail => Err(StartError::NotResumed),
        OnRestoreFailure::Fresh => Ok(Place::Nowhere(Some(error.to_string()))),
    }
}

/// Goes on without a look at what there is to resume, if that is what the user wants.
fn unread(workload: &Workload, reason: String) -> Result<(), StartError> {
    if workload.config.on_volume_unavailable != OnVolumeUnavailable::Fresh {
        return Err(StartError::Unread(reason));
    }
    tracing::error!(
        step = "find",
        "it is not known what there is to resume: {reason}; the application starts fresh, and its checkpoints stand apart from those \
         that there may be (onVolumeUnavailable: fresh)"
    );
    Ok(())
}

async fn start_with(
    workload: &Arc<Workload>,
    signals: &Signals,
    place: Place,
) -> Result<RunningTree, StartError> {
    let mut why = place.why_not();
    if let Some(hold) = place.hold() {
        match resume(workload, signals, hold).await {
            Ok(started @ Some(_)) => return started.ok_or(StartError::NotResumed),
            Ok(None) => return fresh(workload, signals, place, None, false),
            Err(Unresumed::Stopped(signal)) => return Err(StartError::Stopped(signal)),
            Err(Unresumed::Unread(reason)) => {
                unread(workload, reason.clone())?;
                hold.has_not_seen();
                why = Some(reason);
            }
            Err(Unresumed::Failed(_)) if workload.config.on_restore_failure == OnRestoreFailure::Fail => {
                return Err(StartError::NotResumed);
            }
            Err(Unresumed::Failed(reason)) => {
                tracing::warn!(step = "start", "nothing could be resumed; the application starts fresh");
                why = Some(reason);
            }
        }
    }
    // Nobody knows what could be resumed where the volume was not read, so that is no different.
    let passed_over = workload.config.image_dir.is_some();
    fresh(workload, signals, place, why, passed_over)
}

async fn resume(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
) -> Result<Option<RunningTree>, Unresumed> {
    contained(resume::resume_newest(workload, signals, hold)).await.unwrap_or_else(|defect| {
        tracing::error!(step = "start", "nothing more is tried: {defect}");
        reap::end_all_children();
        hold.has_not_seen();
        Err(Unresumed::Failed(defect.to_string()))
    })
}

/// Starts the application from nothing. If there may be work that was `passed_over`, a checkpoint of the first moments would
/// cover it at the next start, and be taken again and again: the state in which the node is now is no notice.
fn fresh(
    workload: &Workload,
    signals: &Signals,
    place: Place,
    why_fresh: Option<String>,
    passed_over: bool,
) -> Result<RunningTree, StartError> {
    let began = Instant::now();
    signals.forget_early();
    restored_json::forget();
    let init = install_init::install(workload.config.volume())?;
    let noted = program_files::note(&workload.command);
    let own = own_values::of(&workload.pod);
    // Before it runs: what it reads at its start is what counts.
    let given = pod_facts::here(&workload.config, &workload.command, &own);
    let library = clocks::library(&workload.config);
    let godebug = environment::godebug(&workload.config);
    let own_ipc = spawn::own_ipc(&workload.config);
    let root = spawn::spawn(&init, &workload.command, library.as_ref(), godebug, own_ipc)?;
    let programs = noted.hash(own, given);
    tracing::info!(step = "start", ms = whole_ms(began.elapsed()), "the application starts fresh");
    let (strays, life) = (Vec::new(), Life::after(Duration::ZERO));
    let (hold, beside_another) = (place.hold().cloned(), matches!(place, Place::Anothers(_)));
    let (resumed, stayed) = (None, passed_over);
    let origin = Origin { why_fresh, ..Origin::default() };
    Ok(RunningTree {
        root,
        init,
        strays,
        resumed,
        stayed,
        hold,
        beside_another,
        programs,
        library,
        life,
        origin,
    })
}
