//! What suites do with a pod again and again.

use anyhow::{Context as _, Result, ensure};

use crate::chain;
use crate::pod::{Pod, Running};
use crate::volume::Volume;

/// How many steps a program makes before something happens to it.
pub const STEPS: usize = 20;

/// What the agent exits with after a checkpoint.
pub const CHECKPOINTED: i32 = 143;

/// The program that most suites run: one process that answers a SIGTERM by saying goodbye.
pub const SINGLE: [&str; 2] = ["python3", "/programs/single.py"];

/// Starts a container and lets its program make some steps.
///
/// # Errors
/// It makes none.
pub fn started(pod: &Pod) -> Result<Running> {
    let running = pod.start()?;
    running.wait_for_lines(STEPS)?;
    Ok(running)
}

/// Runs `pod` for some steps and checkpoints it; returns what it wrote.
///
/// # Errors
/// There is no checkpoint.
pub fn checkpointed(pod: &Pod) -> Result<String> {
    let mut running = started(pod)?;
    ends_with(&mut running, CHECKPOINTED)?;
    Ok(running.stdout.text())
}

/// Stops a container and expects an exit code.
///
/// # Errors
/// It is another one.
pub fn ends_with(running: &mut Running, expected: i32) -> Result<()> {
    let code = running.stop()?;
    ensure!(code == expected, "exit code {code}, not {expected}\n{}", running.transcript());
    Ok(())
}

/// Stops a container of which no checkpoint can be taken: its program gets the SIGTERM, and nothing is committed.
///
/// # Errors
/// There is a generation, or the reason why there is none was not told.
pub fn stops_without_checkpoint(running: &mut Running, volume: &Volume) -> Result<()> {
    running.stop()?;
    let told = running.stderr.text();
    ensure!(told.contains("no checkpoint; the application is told to stop"), "{}", running.transcript());
    ensure!(volume.generations("job-0").is_empty(), "{}", running.transcript());
    Ok(())
}

/// Stops a container whose program must get the SIGTERM and end with an exit code.
///
/// # Errors
/// It does not get it, or ends with another one.
pub fn stops_in_order(running: &mut Running, expected: i32) -> Result<()> {
    ends_with(running, expected)?;
    ensure!(running.stdout.text().ends_with("goodbye\n"), "no SIGTERM came\n{}", running.transcript());
    Ok(())
}

/// Expects that a container's program began anew.
///
/// # Errors
/// It did not.
pub fn starts_fresh(running: &Running) -> Result<()> {
    running.stderr.wait_for("the application starts fresh").with_context(|| running.transcript())
}

/// Expects that a container's program went on from a generation.
///
/// # Errors
/// It did not.
pub fn resumes(running: &Running, generation: u64) -> Result<()> {
    running
        .stderr
        .wait_for(&format!("restored generation {generation:08}"))
        .with_context(|| running.transcript())
}

/// Resumes the generation of this number, lets the program make steps, and checkpoints it; returns what it wrote.
///
/// # Errors
/// It is not resumed, or there is no checkpoint.
pub fn moved(pod: &Pod, generation: u64) -> Result<String> {
    let mut running = started(pod)?;
    resumes(&running, generation)?;
    ends_with(&mut running, CHECKPOINTED)?;
    Ok(running.stdout.text())
}

/// Moves a program once, which has something that stays behind: that is `said` of it here, where `look` is taken, and no more of what is
/// resumed.
///
/// # Errors
/// It is not said, or said again, or the program does not go on.
pub fn stays_behind(pod: &Pod, said: &str, look: impl FnOnce(&Running) -> Result<()>) -> Result<()> {
    let mut first = started(pod)?;
    first.stderr.wait_for(said).with_context(|| first.transcript())?;
    look(&first)?;
    ends_with(&mut first, CHECKPOINTED)?;
    let next = started(pod)?;
    resumes(&next, 1)?;
    next.stderr.wait_for("protected: ").with_context(|| next.transcript())?;
    ensure!(!next.stderr.text().contains(said), "{}", next.transcript());
    chain::verify(&[first.stdout.text(), next.stdout.text()]).map(drop)
}
