//! Keeps house beside the application, which runs in any case and must not wait for it; and not at the stop, where every
//! moment counts.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::base::units;
use crate::checkpoint::checkpointer::Checkpointer;
use crate::checkpoint::volume_speed;
use crate::doctor::checks;
use crate::doctor::clocks::{self, Verdict};
use crate::store::generation::manifest::Manifest;
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::retention;
use crate::workload::RunningTree;

/// Says what is in the way of a checkpoint, removes generations that later ones have made superfluous, and learns how fast
/// the volume is.
pub fn keep(checkpointer: &Arc<Checkpointer>) {
    let Some(image_dir) = checkpointer.workload.config.image_dir.clone() else {
        return tell_nowhere(checkpointer.workload.config.missing.as_deref());
    };
    let (checkpointer, told) = (Arc::clone(checkpointer), Arc::clone(checkpointer));
    spawn_blocking(move || tell_clocks(&told.running));
    spawn_blocking(move || {
        for obstacle in checks::obstacles(&image_dir) {
            tracing::warn!(step = "check", "no checkpoint can be taken here: {obstacle}");
        }
        if let Some(doubt) = checks::doubts() {
            tracing::warn!(step = "check", "a checkpoint taken here may not be resumed: {doubt}");
        }
        if let Err(error) = checkpointer.carrying().and_then(|carrying| carrying.check()) {
            tracing::warn!(step = "check", "no checkpoint can be taken here: {error}");
        }
        let Some(hold) = checkpointer.hold() else { return };
        if let Err(error) = hold.remove_left_overs() {
            tracing::warn!("what a former pod left half done cannot be removed: {error}");
        }
        retain(&checkpointer, &hold);
        let speed = speed(&checkpointer, &hold);
        checkpointer.learn_speed(speed);
        tell(speed);
    });
}

fn tell_nowhere(missing: Option<&Path>) {
    match missing {
        None => tracing::warn!(step = "check", "no checkpoint can be taken here: no imageDir is configured"),
        Some(path) => tracing::warn!(
            step = "check",
            "no checkpoint can be taken here: there is no configuration {}; mount the ConfigMap there",
            path.display()
        ),
    }
}

fn tell_clocks(running: &RunningTree) {
    match clocks::verdict(running.root, &running.init, running.library.as_ref()) {
        Verdict::Kernel => tracing::info!(step = "check", "clocks will go on elsewhere, by the kernel"),
        Verdict::Library => tracing::info!(step = "check", "clocks will go on elsewhere, by crik's library"),
        // It has ended meanwhile.
        Verdict::Not(helpless) if helpless.is_empty() => {}
        Verdict::Not(helpless) => tracing::warn!(
            step = "check",
            "on a node that was booted later {} may stand still for the difference, unless they wait for a time from now on, \
             which nobody can tell from outside; hostUsers: false with SYS_ADMIN and SYS_TIME helps, see onClockBack",
            helpless.join(", ")
        ),
    }
}

/// Removes superfluous generations.
pub fn retain(checkpointer: &Checkpointer, hold: &Hold) {
    let keep = checkpointer.workload.config.keep_generations;
    if let Err(error) = retention::retain(hold, checkpointer.past(), keep) {
        tracing::warn!("older generations cannot be removed: {error}");
    }
}

fn tell(speed: Option<f64>) {
    match speed {
        Some(speed) => {
            tracing::info!(step = "check", "the volume takes about {}/s", units::bytes(speed as u64))
        }
        None => tracing::warn!(step = "check", "the volume cannot be written"),
    }
}

/// As the last checkpoint went, or as a file goes that is written for it.
fn speed(checkpointer: &Checkpointer, hold: &Hold) -> Option<f64> {
    let manifest = |generation| Manifest::read(&hold.dir().generation(generation), generation, None).ok();
    let last =
        checkpointer.running.resumed.and_then(manifest).and_then(|manifest| volume_speed::of(&manifest));
    last.or_else(|| volume_speed::measure(hold.path()).ok())
}
