//! Tries one generation after the other, the newest first: the ladder.

use std::sync::Arc;

use crate::base::bounded_step::BoundedSteps;
use crate::base::signals::Signals;
use crate::restore::attempt::resume;
use crate::restore::failure::Failure;
use crate::store::image_dir::Generation;
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::resumable::resumable;
use crate::workload::{RunningTree, Workload};

/// Something was there to resume, and was not.
pub enum Unresumed {
    /// It could not be.
    Failed,
    /// The pod was told to stop meanwhile.
    Stopped(i32),
}

/// Tries one generation after the other, the newest first. None if there is none.
///
/// # Errors
/// There are some, and none was resumed.
pub async fn resume_newest(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
) -> Result<Option<RunningTree>, Unresumed> {
    let generations = match find(workload, signals, hold).await {
        Ok(generations) => generations,
        Err(Failure::Stopped(signal)) => return Err(Unresumed::Stopped(signal)),
        Err(Failure::Skip(reason) | Failure::NoAnswer(reason)) => {
            tracing::error!(step = "find", "cannot look for checkpoints: {reason}");
            return Err(Unresumed::Failed);
        }
    };
    for generation in &generations {
        match resume(workload, signals, hold, *generation).await {
            Ok(running) => return Ok(Some(running)),
            Err(Failure::Stopped(signal)) => return Err(Unresumed::Stopped(signal)),
            Err(Failure::Skip(reason)) => skip(*generation, &reason),
            Err(Failure::NoAnswer(reason)) => {
                skip(*generation, &reason);
                break;
            }
        }
    }
    if generations.is_empty() { Ok(None) } else { Err(Unresumed::Failed) }
}

/// What may be resumed, the newest first.
async fn find(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
) -> Result<Vec<Generation>, Failure> {
    let look = || {
        let hold = Arc::clone(hold);
        move || resumable(hold.dir())
    };
    Ok(BoundedSteps::new(signals, workload.config.volume_timeout).run(look).await?)
}

fn skip(generation: Generation, reason: &str) {
    tracing::warn!(step = "start", "generation {generation} is skipped: {reason}");
}
