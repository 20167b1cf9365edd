//! Whether a program is protected is known before its node goes away: one verdict, always in the same words, in the log and on the
//! volume, and told again when it changes.

use anyhow::{Context as _, Result, ensure};
use crik_tests::crik::{crik, json as printed};
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{SINGLE, checkpointed, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;

/// What stands in the log of a program that is protected, and of one that is not.
const PROTECTED: &str = "protected: checkpoints can be taken and resumed elsewhere (";
const NOT_PROTECTED: &str = "NOT PROTECTED: ";

/// What `crik list` says of a volume.
fn listed(volume: &Volume) -> Result<serde_json::Value> {
    printed(volume, &["list"])
}

/// The verdict that `crik list` shows, which is there a moment after the log has told it.
fn kept(volume: &Volume, protected: bool) -> Result<serde_json::Value> {
    wait_for("the verdict on the volume", || {
        let verdict = listed(volume).ok()?["holder"]["verdict"].clone();
        (verdict["protected"] == protected).then_some(verdict)
    })
}

/// How often a verdict of either kind was told.
fn told(running: &Running) -> (usize, usize) {
    let said = running.stderr.text();
    (said.matches(PROTECTED).count(), said.matches(NOT_PROTECTED).count())
}

#[test]
fn a_program_that_is_well_is_said_to_be_protected_at_each_start_and_on_the_volume() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    for generation in 0..2 {
        let running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        running.stderr.wait_for(PROTECTED).with_context(|| running.transcript())?;
        let line = "elsewhere (imageDir /checkpoints/job-0; clocks go on by crik's library)";
        ensure!(running.stderr.text().contains(line), "{}", running.transcript());
        kept(&volume, true)?;
        let (code, out, err) = running.exec(&["crik", "list"])?;
        ensure!(code == Some(0) && out.contains(&format!("\n{PROTECTED}")), "{out}{err}");
        ensure!(told(&running) == (1, 0), "{}", running.transcript());
        drop(running);
        if generation == 0 {
            checkpointed(&pod)?;
            let list = crik(&volume, &["list"])?.out;
            ensure!(!list.contains("protected"), "the verdict of a pod that has gone\n{list}");
        }
    }
    Ok(())
}

#[test]
fn all_that_is_in_the_way_is_in_one_line_with_the_remedies() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/traced.py"])
        .with(|spec| spec.capabilities.retain(|name| name != "CAP_CHECKPOINT_RESTORE"));
    let running = started(&pod)?;
    running.stderr.wait_for("NOT PROTECTED: 2 reasons: ").with_context(|| running.transcript())?;
    let said = running.stderr.text();
    let line = said.lines().rfind(|line| line.contains(NOT_PROTECTED)).context("no verdict")?;
    for part in [
        "NOT PROTECTED: 2 reasons: (1) the capability CHECKPOINT_RESTORE is missing; add it to securityContext",
        " (2) process ",
        "(python3) is traced by process",
        "end the tracer",
    ] {
        ensure!(line.contains(part), "{part:?} is not in\n{line}");
    }
    wait_for("both reasons on the volume", || {
        let verdict = kept(&volume, false).ok()?;
        (verdict["reasons"].as_array()?.len() == 2).then_some(())
    })?;
    Ok(())
}

#[test]
fn a_program_that_is_never_checkpointed_is_told_in_the_same_words() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE).only_config("keepGenerations: 2"))?;
    running.stderr.wait_for("NOT PROTECTED: 1 reason: no imageDir is configured")
}

#[test]
fn when_it_changes_it_is_told_again() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &["python3", "/programs/traced.py"]))?;
    running.stderr.wait_for(NOT_PROTECTED).with_context(|| running.transcript())?;
    running.exec(&["touch", "/tmp/end"])?;
    running.stderr.wait_for("nobody traces")?;
    // Each is preceded by a look, and two have to agree.
    for _ in 0..2 {
        let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
        ensure!(code == Some(0), "{said}");
    }
    running.stderr.wait_for("no longer in the way of a checkpoint: process ")?;
    kept(&volume, true)?;
    let said = running.stderr.text();
    let last = said.lines().rfind(|line| line.contains(PROTECTED) || line.contains(NOT_PROTECTED));
    ensure!(last.is_some_and(|line| line.contains(PROTECTED)), "{}", running.transcript());
    ensure!(told(&running).1 == 1, "{}", running.transcript());
    Ok(())
}
