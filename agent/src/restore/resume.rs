//! Tries one generation after the other, the newest first: the ladder.

use std::sync::Arc;

use crik_store::image_dir::Generation;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::last_stop::LastStop;
use crik_store::image_dir::lines::Lines;
use crik_store::image_dir::resumable::resumable;

use crate::base::bounded_step::BoundedSteps;
use crate::base::signals::Signals;
use crate::restore::attempt::resume;
use crate::restore::failure::Failure;
use crate::workload::{Origin, RunningTree, Workload};

/// Something was there to resume, and was not.
pub enum Unresumed {
    /// It could not be, for this reason.
    Failed(String),
    /// It is not known what there is, for this reason.
    Unread(String),
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
        Err(Failure::Skip(reason) | Failure::Unread(reason)) => return Err(Unresumed::Unread(reason)),
    };
    let mut skipped = Vec::new();
    for generation in &generations {
        match resume(workload, signals, hold, *generation).await {
            Ok(running) => {
                let origin = Origin { skipped, ..running.origin };
                return Ok(Some(RunningTree { origin, ..running }));
            }
            Err(Failure::Stopped(signal)) => return Err(Unresumed::Stopped(signal)),
            Err(Failure::Skip(reason)) => {
                skip(*generation, &reason);
                skipped.push((*generation, reason));
            }
            Err(Failure::Unread(reason)) => return Err(Unresumed::Unread(reason)),
        }
    }
    if generations.is_empty() { Ok(None) } else { Err(Unresumed::Failed(all(&skipped))) }
}

/// Why each was skipped.
fn all(skipped: &[(Generation, String)]) -> String {
    let told: Vec<String> =
        skipped.iter().map(|(generation, why)| format!("generation {generation}: {why}")).collect();
    told.join("; ")
}

/// What may be resumed, the newest first.
async fn find(
    workload: &Arc<Workload>,
    signals: &Signals,
    hold: &Arc<Hold>,
) -> Result<Vec<Generation>, Failure> {
    let look = || {
        let hold = Arc::clone(hold);
        move || {
            hold.mend_end()?;
            hold.dir().last_stop()?.iter().for_each(tell_last_stop);
            tell_apart(&hold.dir().lines()?);
            resumable(hold.dir())
        }
    };
    let config = &workload.config;
    let mut steps = BoundedSteps::new(signals, config.volume_timeout).waiting(config.volume_patience());
    Ok(steps.run(look).await?)
}

/// A checkpoint that failed is what a person should look at; one that was not wanted only tells where this start comes from.
fn tell_last_stop(stop: &LastStop) {
    match stop.unwanted {
        true => tracing::info!(step = "find", "{stop}"),
        false => tracing::warn!(step = "find", "{stop}"),
    }
}

fn tell_apart(lines: &Lines) {
    for line in &lines.apart {
        let numbers: Vec<String> =
            line.generations.iter().map(|generation| generation.0.to_string()).collect();
        tracing::warn!(
            step = "find",
            "checkpoints {} stand apart and are not resumed: {}; crik list shows how to choose",
            numbers.join(", "),
            line.why
        );
    }
}

fn skip(generation: Generation, reason: &str) {
    tracing::warn!(step = "start", "generation {generation} is skipped: {reason}");
}
