//! The ladder: find → verify → claim → restore, from the newest generation down.

use std::sync::Arc;

use crate::base::retry::Retries;
use crate::base::signals::Signals;
use crate::restore::attempt::resume;
use crate::restore::steps::{Failure, on_volume, persistently};
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::{Generation, resumable};
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
    let rungs = match find(workload, signals, hold).await {
        Ok(rungs) => rungs,
        Err(Failure::Stopped(signal)) => return Err(Unresumed::Stopped(signal)),
        Err(Failure::Skip(reason) | Failure::NoAnswer(reason)) => {
            tracing::error!(step = "find", "cannot look for checkpoints: {reason}");
            return Err(Unresumed::Failed);
        }
    };
    for generation in &rungs {
        match resume(workload, signals, hold, *generation).await {
            Ok(started) => return Ok(Some(started)),
            Err(Failure::Stopped(signal)) => return Err(Unresumed::Stopped(signal)),
            Err(Failure::Skip(reason)) => skip(*generation, &reason),
            Err(Failure::NoAnswer(reason)) => {
                skip(*generation, &reason);
                break;
            }
        }
    }
    if rungs.is_empty() { Ok(None) } else { Err(Unresumed::Failed) }
}

/// The rungs of the ladder.
async fn find(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
) -> Result<Vec<Generation>, Failure> {
    let limit = workload.config.volume_timeout;
    let look = async || {
        let looked = Arc::clone(hold);
        on_volume(signals, limit, move || resumable::resumable(looked.dir())).await
    };
    persistently(&mut Retries::new(limit), signals, look).await
}

fn skip(generation: Generation, reason: &str) {
    tracing::warn!(step = "start", "generation {generation} is skipped: {reason}");
}
