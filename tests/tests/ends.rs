//! How the application ended decides where the next start begins.

use std::fs;

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{SINGLE, checkpointed, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// Checkpoints a program, resumes it, ends it by `end`, and starts it again.
fn after(end: impl FnOnce(&mut Running) -> Result<()>) -> Result<(Running, Vec<String>, Volume)> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/endings.py"]);
    let first = checkpointed(&pod)?;
    let mut second = started(&pod)?;
    resumes(&second, 1)?;
    end(&mut second)?;
    let third = started(&pod)?;
    Ok((third, vec![first], volume))
}

#[test]
fn work_that_finished_is_not_resumed() -> Result<()> {
    let (next, _, volume) = after(|running| {
        running.signal(Signal::SIGUSR1)?;
        ensure!(running.wait()? == 0, "{}", running.transcript());
        Ok(())
    })?;
    starts_fresh(&next)?;
    ensure!(volume.path().join("job-0/ended.json").exists());
    // What the new life leaves behind is resumed again.
    drop(next);
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/endings.py"]);
    let output = checkpointed(&pod)?;
    let last = started(&pod)?;
    resumes(&last, 2)?;
    chain::verify(&[output, last.stdout.text()]).map(drop)
}

#[test]
fn a_crash_is_resumed_from_the_checkpoint() -> Result<()> {
    let (next, mut outputs, _volume) = after(|running| {
        running.signal(Signal::SIGUSR2)?;
        ensure!(running.wait()? == 3, "{}", running.transcript());
        Ok(())
    })?;
    resumes(&next, 1)?;
    outputs.push(next.stdout.text());
    chain::verify(&outputs).map(drop)
}

#[test]
fn a_program_that_a_signal_killed_is_resumed() -> Result<()> {
    let (next, _, _volume) = after(|running| {
        let python = running.processes().into_iter().find(|process| process.name == "python3");
        let pid = python.map(|process| process.host_pid).unwrap_or_default();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL)?;
        ensure!(running.wait()? == 128 + 9, "{}", running.transcript());
        Ok(())
    })?;
    resumes(&next, 1)
}

#[test]
fn a_pod_that_vanished_with_its_node_is_resumed() -> Result<()> {
    let (next, _, _volume) = after(|running| {
        running.signal(Signal::SIGKILL)?;
        running.wait().map(drop)
    })?;
    resumes(&next, 1)
}

#[test]
fn a_program_that_was_told_to_stop_and_had_to_be_killed_is_not_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let network = Network::new()?;
    let controller = Controller::start(&[TestNode::ready("node-a").shutting_down()])?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/stubborn.py"])
        .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port()))
        .network(&network);
    checkpointed(&pod)?;
    controller.set_nodes(&[TestNode::ready("node-a").recreated()])?;
    let mut stubborn = started(&pod)?;
    resumes(&stubborn, 1)?;
    stubborn.signal(Signal::SIGTERM)?;
    stubborn.stdout.wait_for("not yet")?;
    wait_for("the mark", || volume.path().join("job-0/ended.json").exists().then_some(()))?;
    stubborn.signal(Signal::SIGKILL)?;
    stubborn.wait()?;
    starts_fresh(&started(&pod)?)
}

#[test]
fn old_generations_are_removed_only_after_a_newer_one_is_committed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("keepGenerations: 2");
    let mut outputs = Vec::new();
    for _ in 0..4 {
        outputs.push(checkpointed(&pod)?);
    }
    let last = started(&pod)?;
    resumes(&last, 4)?;
    wait_for("generation 2 to be removed", || (volume.generations("job-0").len() == 2).then_some(()))?;
    ensure!(volume.newest("job-0")?.ends_with("00000004"));
    ensure!(!volume.path().join("job-0/claims/00000002.json").exists(), "the claim was left behind");
    outputs.push(last.stdout.text());
    chain::verify(&outputs).map(drop)
}

#[test]
fn what_a_dump_left_half_way_is_swept_and_never_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let staging = volume.path().join("job-0/staging/criu");
    fs::create_dir_all(&staging)?;
    fs::write(staging.join("inventory.img"), "half an image")?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let output = checkpointed(&pod)?;
    ensure!(!staging.exists());
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[output, next.stdout.text()]).map(drop)
}
