//! Keeps house beside the application, which runs in any case and must not wait for it; and not at the stop, where every
//! moment counts.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crik_store::generation::manifest::Manifest;
use crik_store::image_dir::hold::Hold;
use crik_store::image_dir::probe::Probe;
use crik_store::image_dir::retention;
use crik_store::image_dir::verdict::Verdict;
use crik_store::image_dir::{Generation, attempts};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::base::fault_points::hurried;
use crate::base::private_directory::PrivateDirectory;
use crate::base::units::{self, whole_ms};
use crate::base::{limits, memory};
use crate::carry::streams;
use crate::checkpoint::checkpointer::Checkpointer;
use crate::checkpoint::volume_speed;
use crate::config::Format;
use crate::doctor::clocks::{self, GoOn};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::protection::Look;
use crate::doctor::{checks, trial, volume};
use crate::supervise::looks::{self, Looks};
use crate::workload::RunningTree;

/// Says what is in the way of a checkpoint, removes generations that later ones have made superfluous, and learns how fast
/// the volume is. What is found is told to `looks`, which go on.
pub fn keep(checkpointer: &Arc<Checkpointer>, looks: &Arc<Looks>) {
    let Some(image_dir) = checkpointer.workload.config.image_dir.clone() else {
        tell_nowhere(looks, checkpointer.workload.config.missing.as_deref());
        return memory::give_back();
    };
    settle_later(checkpointer);
    looks.go_on();
    let (watched, told) = (Arc::clone(checkpointer), Arc::clone(looks));
    let clocks = spawn_blocking(move || told.note_clocks(&clocks_of(&watched.running)));
    let (checkpointer, looks) = (Arc::clone(checkpointer), Arc::clone(looks));
    let checks = spawn_blocking(move || {
        looks.note(Look::Carried, carried_obstacle(&checkpointer).into_iter().collect());
        looks.note(Look::Container, container(&checkpointer, &image_dir));
        looks.note(Look::Speed, prepare_volume(&checkpointer).into_iter().collect());
    });
    tokio::spawn(async move {
        let _ = tokio::join!(clocks, checks);
        memory::give_back();
    });
}

/// Makes the volume ready for the next checkpoint, and learns what it can do.
fn prepare_volume(checkpointer: &Checkpointer) -> Option<Finding> {
    let hold = checkpointer.hold()?;
    if let Err(error) = hold.remove_left_overs() {
        tracing::warn!("what a former pod left half done cannot be removed: {error}");
    }
    retain(checkpointer, &hold);
    learn_speed(checkpointer, &hold)
}

/// What of the container and its volume is in the way. Only where nothing is known to be, a trial may find something.
fn container(checkpointer: &Checkpointer, image_dir: &Path) -> Vec<Finding> {
    let mut tried = volume::try_out(image_dir, checkpointer.workload.keys.signing.is_some());
    let mut found = checks::findings(&streams::current());
    found.append(&mut tried.findings);
    if checkpointer.running.beside_another {
        found.push(Finding::no_checkpoint(
            "another pod went on with the work when this one was started, and its checkpoints are the ones that count \
             (onClaimed: fresh); end this one, or that one if this is the one that is to go on",
        ));
    }
    let is_well = found.iter().all(|one| one.severity < Severity::NotProtected);
    if is_well && is_untried(checkpointer) {
        found.extend(tried_somewhere(checkpointer, tried.probe).map(Finding::no_checkpoint));
    }
    found
}

/// A bucket is no place for CRIU's files; what it needs of the container is the same in a directory of the container's own.
fn tried_somewhere(checkpointer: &Checkpointer, probe: Option<Probe>) -> Option<String> {
    if let Some(probe) = probe {
        return tried_by_two_processes(checkpointer, probe.path());
    }
    if checkpointer.workload.config.volume().is_some() {
        return None;
    }
    match PrivateDirectory::make() {
        Ok(place) => tried_by_two_processes(checkpointer, place.path()),
        Err(error) => Some(error.to_string()),
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

/// What a container that was restarted finds there already, and cannot go along; later looks see all of it.
fn carried_obstacle(checkpointer: &Checkpointer) -> Option<Finding> {
    let checked = checkpointer.carrying().and_then(|carrying| carrying.check());
    checked.err().map(|error| looks::carried(&error))
}

/// What was restored here a moment ago has shown more than a trial could, and one that cannot hold the directory has said why.
fn is_untried(checkpointer: &Checkpointer) -> bool {
    checkpointer.running.resumed.is_none() && checkpointer.hold().is_some()
}

fn tell_nowhere(looks: &Looks, missing: Option<&Path>) {
    let found = checks::nowhere(missing);
    tracing::warn!(step = "check", "{}", found.line());
    looks.tell_nowhere(&Verdict::not(&found.to_string()));
}

/// Notes on the volume that the tree runs for long enough since it was resumed, so that what ends it later does not count against
/// its generation.
fn settle_later(checkpointer: &Arc<Checkpointer>) {
    let Some(generation) = checkpointer.running.resumed else { return };
    let checkpointer = Arc::clone(checkpointer);
    tokio::spawn(async move {
        sleep(hurried(limits::SETTLED_AFTER)).await;
        let settled = spawn_blocking(move || {
            settle(&checkpointer, generation);
            memory::give_back();
        });
        let _ = settled.await;
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

fn clocks_of(running: &RunningTree) -> GoOn {
    clocks::will_go_on(running.root, &running.init, running.library.as_ref())
}

/// Removes superfluous generations.
pub fn retain(checkpointer: &Checkpointer, hold: &Hold) {
    let keep = checkpointer.workload.config.keep_generations;
    if let Err(error) = retention::retain(hold, checkpointer.past(), keep) {
        tracing::warn!("older generations cannot be removed: {error}");
    }
    if let Err(error) = checkpointer.sweep_warmed(hold) {
        tracing::warn!("what was stored beforehand cannot be removed: {error}");
    }
}

/// What is in the way, if that is what it shows. How the last checkpoint went tells more than a file does that is written for it, but nothing
/// of the volume alone, by which it is chosen how checkpoints are kept.
fn learn_speed(checkpointer: &Checkpointer, hold: &Hold) -> Option<Finding> {
    let last = last_speed(checkpointer, hold);
    let is_enough = checkpointer.workload.config.format() == Format::Plain;
    let measured = match last.filter(|_| is_enough) {
        Some(last) => Ok(last),
        None => volume_speed::measure(hold).inspect(|volume| checkpointer.learn_volume(*volume)),
    };
    match measured {
        Ok(speed) => {
            checkpointer.learn_speed(last.or(Some(speed)));
            let kept = if checkpointer.keeps_chunks() { "in chunks" } else { "as CRIU writes them" };
            let speed = units::bytes(speed as u64);
            tracing::info!(step = "check", "the volume takes about {speed}/s; checkpoints are kept {kept}");
            None
        }
        Err(error) => Some(Finding::no_checkpoint(format!(
            "{} cannot be written to the volume: {error}; make room or raise the quota",
            units::bytes(limits::PROBE_LEAST_BYTES)
        ))),
    }
}

fn last_speed(checkpointer: &Checkpointer, hold: &Hold) -> Option<f64> {
    let last = checkpointer.running.resumed?;
    volume_speed::of(&Manifest::brought(hold.dir(), last, None).ok()?.1)
}
