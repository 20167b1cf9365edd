//! Keeps house beside the application, which runs in any case and must not wait for it; and not at the stop, where every
//! moment counts.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::base::fault_points::hurried;
use crate::base::panics::locked;
use crate::base::units::{self, whole_ms};
use crate::base::{limits, memory};
use crate::checkpoint::checkpointer::Checkpointer;
use crate::checkpoint::volume_speed;
use crate::doctor::clocks::{self, Verdict};
use crate::doctor::room::{News, Room};
use crate::doctor::{checks, trial, volume};
use crate::store::generation::manifest::Manifest;
use crate::store::image_dir::hold::Hold;
use crate::store::image_dir::retention;
use crate::store::image_dir::{Generation, attempts};
use crate::workload::RunningTree;

/// Says what is in the way of a checkpoint, removes generations that later ones have made superfluous, and learns how fast
/// the volume is.
pub fn keep(checkpointer: &Arc<Checkpointer>) {
    let Some(image_dir) = checkpointer.workload.config.image_dir.clone() else {
        tell_nowhere(checkpointer.workload.config.missing.as_deref());
        return memory::give_back();
    };
    let (checkpointer, told) = (Arc::clone(checkpointer), Arc::clone(checkpointer));
    settle_later(&checkpointer);
    look_for_room(&checkpointer);
    tell_tree_later(&checkpointer);
    let clocks = spawn_blocking(move || tell_clocks(&told.running));
    let checks = spawn_blocking(move || {
        tell_obstacles(&checkpointer, &image_dir);
        if let Some(doubt) = checks::doubts() {
            tracing::warn!(step = "check", "a checkpoint taken here may not be resumed: {doubt}");
        }
        let Some(hold) = checkpointer.hold() else { return };
        if let Err(error) = hold.remove_left_overs() {
            tracing::warn!("what a former pod left half done cannot be removed: {error}");
        }
        retain(&checkpointer, &hold);
        learn_speed(&checkpointer, &hold);
    });
    tokio::spawn(async move {
        let _ = tokio::join!(clocks, checks);
        memory::give_back();
    });
}

/// What stands in the way of a checkpoint. Only where nothing is known to, a trial may find something.
fn tell_obstacles(checkpointer: &Checkpointer, image_dir: &Path) {
    let mut tried = volume::try_out(image_dir, checkpointer.workload.key.is_some());
    let mut found = checks::obstacles();
    found.append(&mut tried.obstacles);
    found.extend(carried_obstacle(checkpointer));
    if let Some(probe) = tried.probe.filter(|_| found.is_empty() && is_untried(checkpointer)) {
        found.extend(tried_by_two_processes(checkpointer, probe.path()));
    }
    for obstacle in found {
        tracing::warn!(step = "check", "no checkpoint can be taken here: {obstacle}");
    }
    for danger in tried.dangers {
        tracing::warn!(step = "check", "{danger}");
    }
}

/// The trial, whose cost is the volume's and CRIU's: the program runs meanwhile.
fn tried_by_two_processes(checkpointer: &Checkpointer, directory: &Path) -> Option<String> {
    let began = Instant::now();
    let obstacle = trial::run(directory, &checkpointer.running.init);
    if obstacle.is_none() {
        let ms = whole_ms(began.elapsed());
        tracing::info!(step = "check", ms, "two small processes were dumped and restored for a trial");
    }
    obstacle
}

fn carried_obstacle(checkpointer: &Checkpointer) -> Option<String> {
    let checked = checkpointer.carrying().and_then(|carrying| carrying.check());
    checked.err().map(|error| error.to_string())
}

/// What was restored here a moment ago has shown more than a trial could, and one that cannot hold the directory has said why.
fn is_untried(checkpointer: &Checkpointer) -> bool {
    checkpointer.running.resumed.is_none() && checkpointer.hold().is_some()
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

/// Notes on the volume that the tree runs for long enough since it was resumed, so that what ends it later does not count against
/// its generation.
fn settle_later(checkpointer: &Arc<Checkpointer>) {
    let Some(generation) = checkpointer.running.resumed else { return };
    let checkpointer = Arc::clone(checkpointer);
    tokio::spawn(async move {
        sleep(hurried(limits::SETTLED_AFTER)).await;
        let _ = spawn_blocking(move || settle(&checkpointer, generation)).await;
    });
}

/// Says what of the tree is in the way of a checkpoint, when its program has made what it needs. What comes later is told at the
/// checkpoint.
fn tell_tree_later(checkpointer: &Arc<Checkpointer>) {
    let root = checkpointer.running.root;
    tokio::spawn(async move {
        sleep(limits::TREE_LOOK_AFTER).await;
        let told = spawn_blocking(move || {
            for obstacle in checks::of_tree(root) {
                tracing::warn!(step = "check", "no checkpoint can be taken here: {obstacle}");
            }
        });
        let _ = told.await;
    });
}

fn settle(checkpointer: &Checkpointer, generation: Generation) {
    let Some(hold) = checkpointer.hold() else { return };
    if let Err(error) = attempts::settle(&hold, generation) {
        tracing::warn!(
            "it cannot be noted that generation {generation} works, so its resume counts: {error}"
        );
    }
}

/// Says once that the volume has no room for a checkpoint of what the program has by now, and again when that changes.
fn look_for_room(checkpointer: &Arc<Checkpointer>) {
    let (checkpointer, room) = (Arc::clone(checkpointer), Arc::<Mutex<Room>>::default());
    tokio::spawn(async move {
        let (mut pause, longest) = limits::ROOM_PAUSES;
        loop {
            sleep(pause).await;
            pause = longest.min(pause * 2);
            let (checkpointer, room) = (Arc::clone(&checkpointer), Arc::clone(&room));
            let _ = spawn_blocking(move || tell_room(&checkpointer, &mut locked(&room))).await;
        }
    });
}

fn tell_room(checkpointer: &Checkpointer, room: &mut Room) {
    let lacking = || {
        let (hold, bytes) = (checkpointer.hold()?, checkpointer.would_write()?);
        // Something may be removed meanwhile; what lasts is told at a checkpoint.
        retention::lacking(&hold, bytes, checkpointer.past()).ok()
    };
    match lacking().and_then(|lacking| room.news(lacking)) {
        Some(News::Lacks(why)) => {
            tracing::warn!(step = "check", "a checkpoint may find no room by now: {why}")
        }
        Some(News::Enough) => tracing::info!(step = "check", "the volume has room for a checkpoint again"),
        None => {}
    }
    memory::give_back();
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

fn learn_speed(checkpointer: &Checkpointer, hold: &Hold) {
    match speed(checkpointer, hold) {
        Ok(speed) => {
            tracing::info!(step = "check", "the volume takes about {}/s", units::bytes(speed as u64));
            checkpointer.learn_speed(Some(speed));
        }
        Err(error) => tracing::warn!(
            step = "check",
            "no checkpoint can be taken here: {} cannot be written to the volume: {error}; make room or raise the quota",
            units::bytes(limits::PROBE_LEAST_BYTES)
        ),
    }
}

/// As the last checkpoint went, or as a file goes that is written for it.
fn speed(checkpointer: &Checkpointer, hold: &Hold) -> io::Result<f64> {
    let manifest = |generation| Manifest::read(&hold.dir().generation(generation), generation, None).ok();
    let last =
        checkpointer.running.resumed.and_then(manifest).and_then(|manifest| volume_speed::of(&manifest));
    last.map_or_else(|| volume_speed::measure(hold.path()), Ok)
}
