//! Moves a workload under crik from one pod to the next.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::checkpoint::{Figures, size};
use super::event::Event;
use super::material::pod;
use super::scripts::Used;
use super::workload::Workload;
use crate::pod::{Pod, Running};
use crate::story::{CHECKPOINTED, resumes};
use crate::volume::Volume;

/// What became of a workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// It went on, each time.
    GoesOn(Figures),
    /// It was refused before it was frozen, as its file says.
    Refused {
        /// What the agent says of it.
        said: String,
        /// It went on with the remedy of its file, if it has one.
        remedied: Option<Figures>,
    },
}

/// Runs a workload and preempts it `moves` times under load; each time it must go on in a pod on another node, and at last
/// another checkpoint of it is taken. What its file says to be refused must be refused.
///
/// # Errors
/// It does otherwise.
pub fn goes_on(workload: &Workload, moves: u32) -> Result<Outcome> {
    if let Some(said) = &workload.refused {
        let said = is_refused(workload, said)?;
        let remedied =
            workload.remedied()?.map(|remedied| all_moves(&remedied, moves).context("with its remedy"));
        return Ok(Outcome::Refused { said, remedied: remedied.transpose()? });
    }
    all_moves(workload, moves).map(Outcome::GoesOn)
}

fn all_moves(workload: &Workload, moves: u32) -> Result<Figures> {
    let volume = Volume::new()?;
    let pod = pod(workload, &volume)?;
    let mut running = pod.start()?;
    let mut count = used_first(workload, &running).context(Event::Started)?;
    let preempted = preempted(&mut running).context(Event::Preempted)?;
    let mut worst = Figures { preempted, size: size(&volume.newest("job-0")?)?, ..Figures::default() };
    for generation in 1..=moves {
        let (next, figures) = next(workload, &pod, &volume, generation.into(), count)
            .with_context(|| format!("after move {generation}"))?;
        (count, worst) = (next, worst.worse(figures));
    }
    Ok(worst)
}

/// Puts state into it, and returns to what it has counted.
pub(super) fn used_first(workload: &Workload, running: &Running) -> Result<i64> {
    let used = Used::new(workload, running);
    used.is_ready()?;
    used.put()?;
    used.has_its_state()?;
    let count = used.counts_on_from(i64::MIN)?;
    used.is_loaded()?;
    Ok(count)
}

fn next(
    workload: &Workload,
    pod: &Pod,
    volume: &Volume,
    generation: u64,
    least: i64,
) -> Result<(i64, Figures)> {
    let mut running = pod.start()?;
    let (count, resumed) = goes_on_here(workload, &running, generation, least).context(Event::Resumed)?;
    let preempted_again = preempted(&mut running).context(Event::PreemptedAgain)?;
    let size = size(&volume.newest("job-0")?)?;
    Ok((count, Figures { resumed, preempted_again, size, ..Figures::default() }))
}

fn goes_on_here(
    workload: &Workload,
    running: &Running,
    generation: u64,
    least: i64,
) -> Result<(i64, Duration)> {
    resumes(running, generation)?;
    let resumed = running.started.elapsed();
    let used = Used::new(workload, running);
    used.has_its_state()?;
    let count = used.counts_on_from(least)?;
    used.is_loaded()?;
    Ok((count, resumed))
}

fn preempted(running: &mut Running) -> Result<Duration> {
    let began = Instant::now();
    let code = running.stop()?;
    let stop = began.elapsed();
    let durable = running.stderr.text().contains("is durable");
    ensure!(code == CHECKPOINTED && durable, "no checkpoint, exit code {code}\n{}", running.transcript());
    Ok(stop)
}

/// What cannot be checkpointed is told to stop, as without crik, and why is said, which is returned.
fn is_refused(workload: &Workload, said: &str) -> Result<String> {
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
    sentence(&running.stderr.text(), said)
}

/// What the agent's log says it found, with what to do about it.
fn sentence(log: &str, said: &str) -> Result<String> {
    let lines = log.lines().filter(|line| line.contains(said));
    let found = lines.filter_map(|line| line.split_once("no checkpoint can be taken here: ")).next();
    let (_, sentence) = found.with_context(|| format!("{said:?} was not said as a finding\n{log}"))?;
    Ok(sentence.rsplit_once(" step=").map_or(sentence, |(sentence, _)| sentence).to_owned())
}
