//! Gets out of the way of the trees that may be restored: whatever runs beside a restore must have none of their process ids.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::Generation;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::layout;
use thiserror::Error;

use crate::base::bounded_step::{Abandoned, BoundedSteps, StepError};
use crate::base::limits;
use crate::base::retry::{HasOutlook, Outlook};
use crate::base::signals::Signals;
use crate::base::units::roughly;
use crate::carry::reserved_pids;
use crate::tree::criu::images;
use crate::tree::process::id_holders::{self, IdHolder};
use crate::tree::process::{reap, sessions};
use crate::workload::Workload;

/// Makes sure that what is started from now on gets none of the ids of any generation, since an older one may be next. Usually there
/// are enough below those of a tree; not so after a probe or a person has run commands in the container while the agent waited.
///
/// # Errors
/// The pod was told to stop, or the volume does not answer.
pub async fn make_way(workload: &Workload, signals: &Signals, hold: &Arc<Hold>) -> Result<(), Abandoned> {
    // Without a thread nothing is restored either, and that says why.
    if reserved_pids::are_left().unwrap_or(true) {
        return Ok(());
    }
    let hold = Arc::clone(hold);
    let mut steps = BoundedSteps::new(signals, workload.config.volume_timeout);
    let passed = steps.once(move || reserved_pids::make_way(&ids(&hold))).await?;
    if let Err(error) = passed {
        tracing::warn!("the process ids of the program may be taken: {error}");
    }
    Ok(())
}

/// Somebody has an id of the tree and keeps it.
#[derive(Debug, Error)]
#[error(
    "{0}, and does not end; end it and start this container anew, and let nothing run beside the program where it starts \
     (shareProcessNamespace: false)"
)]
pub struct Taken(String);

impl HasOutlook for Taken {
    fn outlook(&self) -> Outlook {
        Outlook::Lasting
    }
}

/// Waits until nobody has an id of the tree of `generation`. A probe or a session of `kubectl exec` may, since the container was there
/// before the tree: that gets a moment to end by itself, and is ended then as it is before a stop. What is of another container can only be
/// waited for.
///
/// # Errors
/// Somebody keeps one; or the pod was told to stop, or the volume does not answer.
pub async fn clear(
    workload: &Workload,
    signals: &Signals,
    hold: &Arc<Hold>,
    generation: Generation,
) -> Result<(), StepError<Taken>> {
    let mut steps = BoundedSteps::new(signals, workload.config.volume_timeout);
    let hold = Arc::clone(hold);
    let ids = Arc::new(steps.once(move || ids_of(&hold, generation)).await?);
    let (began, mut told) = (Instant::now(), Vec::new());
    loop {
        let holders = {
            let (ids, end) = (Arc::clone(&ids), began.elapsed() >= limits::ID_HOLDER_PATIENCE);
            steps.once(move || holders(&ids, end)).await?
        };
        if holders.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= workload.config.volume_timeout.max(limits::ID_HOLDER_PATIENCE * 2) {
            return Err(StepError::Failed(Taken(named(&holders))));
        }
        if holders != told {
            tell(&holders, workload.config.volume_timeout);
            told = holders;
        }
        steps.pause(limits::HOLD_POLL).await?;
    }
}

/// Those that have one of `ids`, and that are still there after they were ended, if they are to `end`. Blocks.
fn holders(ids: &BTreeSet<i32>, end: bool) -> Vec<IdHolder> {
    // What others have left behind is our child, and has its id until we ask for its status.
    reap::reap(NOBODY);
    let holders = id_holders::of(ids);
    if holders.is_empty() || !end {
        return holders;
    }
    sessions::end_some(&holders.iter().map(|holder| holder.pid).collect());
    reap::reap(NOBODY);
    id_holders::of(ids)
}

/// No process has this id.
const NOBODY: i32 = 0;

fn tell(holders: &[IdHolder], patience: Duration) {
    tracing::warn!(
        step = "restore",
        "{}; it is waited for: a session of this container is ended after {}, what else there is must end within {}",
        named(holders),
        roughly(limits::ID_HOLDER_PATIENCE),
        roughly(patience.max(limits::ID_HOLDER_PATIENCE * 2))
    );
}

fn named(holders: &[IdHolder]) -> String {
    let some = holders.iter().take(limits::NAMED_MAX).map(ToString::to_string);
    some.collect::<Vec<_>>().join(", ")
}

/// What cannot be read is not restored.
fn ids(hold: &Hold) -> BTreeSet<i32> {
    let generations = hold.dir().list().unwrap_or_default().into_iter();
    generations.flat_map(|generation| ids_of(hold, generation)).collect()
}

fn ids_of(hold: &Hold, generation: Generation) -> BTreeSet<i32> {
    match Manifest::brought(hold.dir(), generation, None) {
        Ok((_, manifest)) if !manifest.ids.is_empty() => manifest.ids,
        _ => images::ids(&hold.dir().generation(generation).join(layout::IMAGES)).unwrap_or_default(),
    }
}
