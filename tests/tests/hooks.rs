//! Commands of the user's beside a checkpoint and a restore.

use std::fs;

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::pod::Pod;
use crik_tests::story::{SINGLE, checkpointed, ends_with, resumes, started, starts_fresh, stops_in_order};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// A pod with one hook, a shell script.
fn pod(volume: &Volume, name: &str, script: &str, more: &str) -> Pod {
    let hook = format!("hooks: {{{name}: {{command: [/bin/sh, -c, '{script}']{more}}}}}");
    Pod::new(volume, "node-a", &SINGLE).config(&hook)
}

#[test]
fn the_application_can_prepare_for_a_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&pod(&volume, "preCheckpoint", "echo flushed > /checkpoints/hook; echo told", ""))?;
    ensure!(fs::read_to_string(volume.path().join("hook"))? == "flushed\n");
    ensure!(volume.newest("job-0")?.ends_with("00000001"));
    Ok(())
}

#[test]
fn the_environment_is_made_ready_before_the_first_instruction() -> Result<()> {
    let volume = Volume::new()?;
    let script =
        "cp /run/crik/restored.json /checkpoints/told; echo $CRIK_GENERATION > /checkpoints/hook; ls /proc";
    let pod = pod(&volume, "postRestore", script, ", onFailure: fail");
    let before = checkpointed(&pod)?;
    ensure!(!volume.path().join("hook").exists(), "a fresh start is no restore");
    let mut next = started(&pod)?;
    resumes(&next, 1)?;
    ensure!(fs::read_to_string(volume.path().join("hook"))? == "1\n");
    ensure!(fs::read_to_string(volume.path().join("told"))?.contains("\"generation\": 1"));
    // What the hook printed is no output of the application's, and its process ids are in nobody's way.
    ends_with(&mut next, 143)?;
    let last = started(&pod)?;
    resumes(&last, 2)?;
    ensure!(!last.stderr.text().contains("outside the tree"), "{}", last.transcript());
    chain::verify(&[before, next.stdout.text(), last.stdout.text()]).map(drop)
}

#[test]
fn a_hook_that_must_work_and_does_not_prevents_the_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&pod(&volume, "preCheckpoint", "exit 3", ", onFailure: fail"))?;
    stops_in_order(&mut running, 0)?;
    running.stderr.wait_for("hook preCheckpoint: exit status: 3")?;
    ensure!(volume.generations("job-0").is_empty());
    Ok(())
}

#[test]
fn a_hook_that_hangs_costs_its_timeout_and_no_more() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "preCheckpoint", "sleep 600 & sleep 600", ", timeout: 500ms");
    let mut running = started(&pod)?;
    ends_with(&mut running, 143)?;
    running.stderr.wait_for("hook preCheckpoint: not done within 500ms")?;
    let next = started(&pod)?;
    resumes(&next, 1)?;
    ensure!(next.processes().iter().all(|process| process.name != "sleep"), "{:?}", next.processes());
    Ok(())
}

/// What the two hooks beside a checkpoint have written, in its order.
fn told(volume: &Volume) -> String {
    fs::read_to_string(volume.path().join("hooks")).unwrap_or_default().split_whitespace().collect()
}

/// A pod whose program is asked to prepare, and told when it may go on.
fn quieted(volume: &Volume, command: &[&str]) -> Pod {
    let hook = |word: &str| format!("{{command: [/bin/sh, -c, 'echo {word} >> /checkpoints/hooks']}}");
    let hooks = format!("hooks: {{preCheckpoint: {}, postCheckpoint: {}}}", hook("quiet"), hook("on"));
    Pod::new(volume, "node-a", command).config(&hooks)
}

#[test]
fn the_application_is_told_when_it_goes_on_after_a_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&quieted(&volume, &SINGLE))?;
    for asked in 1..=2 {
        let (code, _, err) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
        ensure!(code == Some(0), "{err}");
        wait_for("the hook", || (told(&volume) == "quieton".repeat(asked)).then_some(()))?;
    }
    // It does not go on here.
    ends_with(&mut running, 143)?;
    ensure!(told(&volume) == "quietonquietonquiet", "{}", told(&volume));
    Ok(())
}

#[test]
fn the_application_is_told_when_it_goes_on_without_a_checkpoint_and_finds_its_files() -> Result<()> {
    let volume = Volume::new()?;
    // CRIU refuses it.
    let pod = quieted(&volume, &["python3", "/programs/refusing.py"])
        .config("inotifyIncompatiblePaths: [/tmp/watched]");
    let mut running = started(&pod)?;
    running.exec(&["/bin/sh", "-c", "echo old > /tmp/watched"])?;
    running.send(Signal::SIGUSR1)?;
    running.stdout.wait_for("refusing")?;
    let (code, _, _) = running.exec(&["crik", "checkpoint"])?;
    ensure!(code == Some(1), "there was a checkpoint");
    wait_for("the hook", || (told(&volume) == "quieton").then_some(()))?;
    let (_, watched, _) = running.exec(&["cat", "/tmp/watched"])?;
    ensure!(watched == "old\n", "{watched}");
    // Once for a stop, however often that tries.
    stops_in_order(&mut running, 0)?;
    ensure!(told(&volume).starts_with("quietonquiet"), "{}", told(&volume));
    ensure!(told(&volume).matches("quiet").count() == 2, "{}", told(&volume));
    Ok(())
}

#[test]
fn a_restore_that_cannot_be_made_ready_is_a_failure_of_its_rung() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "postRestore", "exit 4", ", onFailure: fail");
    checkpointed(&pod)?;
    let next = started(&pod)?;
    starts_fresh(&next)?;
    let reason = "generation 00000001 is skipped: hook postRestore: exit status: 4";
    next.stderr.wait_for(reason)?;
    let claim = fs::read_to_string(volume.path().join("job-0/claims/00000001.json"))?;
    ensure!(claim.contains("hook postRestore: exit status: 4"), "{claim}");
    Ok(())
}
