//! How the application ended decides where the next start begins.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// A workload whose checkpoint was resumed once.
struct Resumed {
    volume: Volume,
    pod: Pod,
    first: String,
}

const ENDINGS: [&str; 2] = ["python3", "/programs/endings.py"];

impl Resumed {
    /// Others may take its image directory over when it was silent for `expiry`.
    fn new(expiry: &str) -> Result<(Self, Running)> {
        let volume = Volume::new()?;
        let pod = Pod::new(&volume, "node-a", &ENDINGS).config(&format!("claimExpiry: {expiry}"));
        let first = checkpointed(&pod)?;
        let second = started(&pod)?;
        resumes(&second, 1)?;
        Ok((Self { volume, pod, first }, second))
    }

    /// The next start resumes the checkpoint again.
    fn is_resumed_by(&self, pod: &Pod) -> Result<()> {
        let next = started(pod)?;
        resumes(&next, 1)?;
        chain::verify(&[self.first.clone(), next.stdout.text()]).map(drop)
    }
}

#[test]
fn work_that_finished_is_not_resumed() -> Result<()> {
    let (workload, mut running) = Resumed::new("1h")?;
    running.send(Signal::SIGUSR1)?;
    ensure!(running.wait()? == 0, "{}", running.transcript());
    ensure!(workload.volume.path().join("job-0/ended.json").exists());
    let mut next = started(&workload.pod)?;
    starts_fresh(&next)?;
    // What the new life leaves behind is resumed again.
    ends_with(&mut next, CHECKPOINTED)?;
    let last = started(&workload.pod)?;
    resumes(&last, 2)?;
    chain::verify(&[next.stdout.text(), last.stdout.text()]).map(drop)
}

#[test]
fn a_crash_is_resumed_from_the_checkpoint() -> Result<()> {
    let (workload, mut running) = Resumed::new("1h")?;
    running.signal(Signal::SIGUSR2)?;
    ensure!(running.wait()? == 3, "{}", running.transcript());
    workload.is_resumed_by(&workload.pod)
}

#[test]
fn a_program_that_a_signal_killed_is_resumed() -> Result<()> {
    let (workload, mut running) = Resumed::new("1h")?;
    let python = running.processes().into_iter().find(|process| process.name == "python3");
    let pid = python.context("no python3")?.host_pid;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL)?;
    ensure!(running.wait()? == 128 + 9, "{}", running.transcript());
    workload.is_resumed_by(&workload.pod)
}

#[test]
fn a_program_that_the_kernel_killed_for_its_memory_is_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/greedy.py"])
        .with(|spec| spec.memory_limit = Some(256 << 20));
    let first = checkpointed(&pod)?;
    let mut second = started(&pod)?;
    resumes(&second, 1)?;
    second.send(Signal::SIGUSR1)?;
    ensure!(second.wait()? == 128 + 9, "{}", second.transcript());
    let third = started(&pod)?;
    resumes(&third, 1)?;
    chain::verify(&[first, third.stdout.text()]).map(drop)
}

#[test]
fn a_container_that_was_killed_is_resumed_at_once_by_its_restart() -> Result<()> {
    let (workload, mut running) = Resumed::new("1h")?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    // By the pod's uid it is known to be gone, so no expiry is waited for.
    workload.is_resumed_by(&workload.pod)
}

#[test]
fn a_pod_that_vanished_with_its_node_is_resumed_when_its_hold_has_expired() -> Result<()> {
    let (workload, mut running) = Resumed::new("1s")?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    workload.is_resumed_by(&workload.pod.replacement())
}

#[test]
fn a_program_that_was_told_to_stop_and_had_to_be_killed_is_not_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let network = Network::new()?;
    let controller = Controller::start(&[TestNode::ready("node-a").shutting_down()])?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/stubborn.py"])
        .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port()))
        .network(&network)
        .same_node_name();
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
    let attempts = volume.path().join("job-0/claims/00000002.json");
    wait_for("the account of its attempts to be removed", || (!attempts.exists()).then_some(()))?;
    outputs.push(last.stdout.text());
    chain::verify(&outputs).map(drop)
}

#[test]
fn what_a_dump_left_half_way_is_swept_and_never_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let (half, theirs) = ("job-0/holders/00000001/staging-1/criu", "job-0/staging/criu");
    for name in ["job-0/generations", "job-0/claims", half, theirs] {
        fs::create_dir_all(volume.path().join(name))?;
    }
    for name in [half, theirs] {
        fs::write(volume.path().join(name).join("inventory.img"), "half an image")?;
    }
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("claimExpiry: 1s");
    let output = checkpointed(&pod)?;
    ensure!(!volume.path().join(half).exists());
    // What crik has not made is not crik's to remove.
    ensure!(volume.path().join(theirs).exists());
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[output, next.stdout.text()]).map(drop)
}
