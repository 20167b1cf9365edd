//! Moves a workload under crik from one pod to the next.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::checkpoint::{Figures, size};
use super::material::pod;
use super::scripts::Used;
use super::workload::Workload;
use crate::pod::{Pod, Running};
use crate::story::{CHECKPOINTED, resumes};
use crate::volume::Volume;

/// What became of a workload.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It went on, each time.
    GoesOn(Figures),
    /// It was refused before it was frozen, as its file says, and with the remedy of its file, if it has one, it went on.
    Refused(Option<Figures>),
}

/// Runs a workload and preempts it `moves` times under load; each time it must go on in a pod on another node, and at last
/// another checkpoint of it is taken. What its file says to be refused must be refused.
///
/// # Errors
/// It does otherwise.
pub fn goes_on(workload: &Workload, moves: u32) -> Result<Outcome> {
    if let Some(said) = &workload.refused {
        is_refused(workload, said)?;
        let remedied =
            workload.remedied()?.map(|remedied| all_moves(&remedied, moves).context("with its remedy"));
        return Ok(Outcome::Refused(remedied.transpose()?));
    }
    all_moves(workload, moves).map(Outcome::GoesOn)
}

fn all_moves(workload: &Workload, moves: u32) -> Result<Figures> {
    let volume = Volume::new()?;
    let pod = pod(workload, &volume)?;
    let mut count = first(workload, &pod, &volume)?;
    let mut worst = Figures { size: count.1.size, stop: count.1.stop, ..Figures::default() };
    for generation in 1..=moves {
        count = next(workload, &pod, &volume, generation.into(), count.0)
            .with_context(|| format!("after move {generation}"))?;
        worst = worst.worse(count.1);
    }
    Ok(worst)
}

fn first(workload: &Workload, pod: &Pod, volume: &Volume) -> Result<(i64, Figures)> {
    let mut running = pod.start()?;
    let used = Used::new(workload, &running);
    used.is_ready()?;
    used.put()?;
    used.has_its_state()?;
    let count = used.counts_on_from(i64::MIN)?;
    used.is_loaded()?;
    Ok((count, preempted(&mut running, volume)?))
}

fn next(
    workload: &Workload,
    pod: &Pod,
    volume: &Volume,
    generation: u64,
    least: i64,
) -> Result<(i64, Figures)> {
    let mut running = pod.start()?;
    resumes(&running, generation)?;
    let start = running.started.elapsed();
    let used = Used::new(workload, &running);
    used.has_its_state()?;
    let count = used.counts_on_from(least)?;
    used.is_loaded()?;
    Ok((count, Figures { start, ..preempted(&mut running, volume)? }))
}

fn preempted(running: &mut Running, volume: &Volume) -> Result<Figures> {
    let began = Instant::now();
    let code = running.stop()?;
    let stop = began.elapsed();
    let durable = running.stderr.text().contains("is durable");
    ensure!(code == CHECKPOINTED && durable, "no checkpoint, exit code {code}\n{}", running.transcript());
    Ok(Figures { stop, size: size(&volume.newest("job-0")?)?, ..Figures::default() })
}

/// What cannot be checkpointed is told to stop, as without crik, and why is said.
fn is_refused(workload: &Workload, said: &str) -> Result<()> {
    let volume = Volume::new()?;
    let mut running = pod(workload, &volume)?.start()?;
    let used = Used::new(workload, &running);
    used.is_ready()?;
    used.put()?;
    running.stderr.wait_for(said).with_context(|| running.state())?;
    running.stop()?;
    ensure!(volume.generations("job-0").is_empty(), "there is a checkpoint\n{}", running.transcript());
    let told = running.stderr.text().contains("no checkpoint; the application is told to stop");
    ensure!(told, "it got no SIGTERM\n{}", running.transcript());
    Ok(())
}
