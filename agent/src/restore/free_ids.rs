//! Gets out of the way of the trees that may be restored: whatever runs beside a restore must have none of their process ids.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::bounded_step::{Abandoned, BoundedSteps};
use crate::base::signals::Signals;
use crate::carry::reserved_pids;
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::layout;
use crate::tree::criu::images;
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

/// What cannot be read is not restored.
fn ids(hold: &Hold) -> BTreeSet<i32> {
    let generations = hold.dir().list().unwrap_or_default().into_iter();
    let of =
        |generation| images::ids(&hold.dir().generation(generation).join(layout::IMAGES)).unwrap_or_default();
    generations.flat_map(of).collect()
}
