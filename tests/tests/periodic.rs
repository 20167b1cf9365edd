//! Checkpoints while the application goes on: periodic ones, for nodes that vanish without notice, and those that somebody
//! asks for.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use crik_tests::chain;
use crik_tests::command::run;
use crik_tests::faulty::Op;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, STEPS, ends_with, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// The line in the log that tells for how long the application stood still.
const PAUSED: &str = "the application was frozen for ";

/// So that the next pod need not wait long for one that vanished.
const SHORT_EXPIRY: &str = "claimExpiry: 1s";

fn asked(running: &Running, more: &[&str]) -> Result<serde_json::Value> {
    let command = [&["crik", "checkpoint", "--output", "json"], more].concat();
    let (code, out, err) = running.exec(&command)?;
    ensure!(code == Some(0), "{out}{err}\n{}", running.transcript());
    Ok(serde_json::from_str(&out)?)
}

#[test]
fn a_node_that_vanishes_without_notice_costs_one_interval() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("interval: 1s").config(SHORT_EXPIRY);
    let mut first = started(&pod)?;
    first.stderr.wait_for("generation 00000003 is durable")?;
    ensure!(first.stderr.text().contains(PAUSED), "{}", first.transcript());
    wait_for("older generations to be removed", || (volume.generations("job-0").len() == 2).then_some(()))?;
    first.signal(Signal::SIGKILL)?;
    first.wait()?;
    let second = started(&pod.replacement())?;
    second.stderr.wait_for("restored generation ")?;
    chain::verify_repeated(&first.stdout.text(), &second.stdout.text()).map(drop)
}

#[test]
fn without_an_interval_nothing_is_checkpointed() -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    running.wait_for_lines(5 * STEPS)?;
    ensure!(volume.generations("job-0").is_empty() && !running.stderr.text().contains(PAUSED));
    ends_with(&mut running, CHECKPOINTED)
}

#[test]
fn a_stop_is_not_held_up_by_a_periodic_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/memory.py", "200"]).config("interval: 1s");
    let mut running = started(&pod)?;
    // In the midst of one.
    wait_for("a periodic dump", || (!volume.staged("job-0").is_empty()).then_some(()))?;
    ends_with(&mut running, CHECKPOINTED)?;
    let next = started(&pod)?;
    next.stderr.wait_for("restored generation ")?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

#[test]
fn a_checkpoint_can_be_asked_for() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config(SHORT_EXPIRY);
    let mut running = started(&pod)?;
    let told = asked(&running, &["--leave-running"])?;
    ensure!(told["generation"] == 1 && told["pauseMs"].is_u64(), "{told}");
    running.wait_for_lines(3 * STEPS)?;
    let told = asked(&running, &[])?;
    ensure!(told["generation"] == 2 && told["pauseMs"].is_null(), "{told}");
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    let next = started(&pod.replacement())?;
    resumes(&next, 2)?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

#[test]
fn an_application_goes_on_when_a_checkpoint_that_was_asked_for_fails() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .config("hooks: {preCheckpoint: {command: [/bin/false], onFailure: fail}}");
    let mut running = started(&pod)?;
    for more in [&[][..], &["--leave-running"]] {
        let (code, _, err) = running.exec(&[&["crik", "checkpoint"], more].concat())?;
        ensure!(code == Some(1) && err.contains("hook preCheckpoint: exit status: 1"), "{code:?} {err}");
    }
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    ensure!(!running.stdout.text().contains("goodbye"), "{}", running.transcript());
    ends_with(&mut running, 0)
}

#[test]
fn without_an_agent_the_command_says_so() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.command(&[], &SINGLE));
    let running = started(&pod)?;
    let (code, _, err) = running.exec(&["crik", "checkpoint"])?;
    ensure!(code == Some(1) && err.contains("no agent of crik runs in this container"), "{err}");
    Ok(())
}

#[test]
fn work_that_finished_during_a_periodic_checkpoint_is_not_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/endings.py"]).config("interval: 1s");
    let mut running = started(&pod)?;
    running.stderr.wait_for(PAUSED)?;
    running.send(Signal::SIGUSR1)?;
    ensure!(running.wait()? == 0, "{}", running.transcript());
    starts_fresh(&started(&pod)?)
}

#[test]
fn a_restored_application_knows_its_generation() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let read = |running: &Running| running.exec(&["cat", "/run/crik/restored.json"]);
    let mut first = started(&pod)?;
    ensure!(read(&first)?.0 == Some(1), "a fresh start was not restored");
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    let told: serde_json::Value = serde_json::from_str(&read(&second)?.1)?;
    ensure!(told["generation"] == 1 && told["restoredOn"] == second.node().name.as_str(), "{told}");
    ensure!(told["checkpointedAt"].as_str().context("no time")?.ends_with('Z'), "{told}");
    Ok(())
}

#[test]
fn what_could_not_be_resumed_here_is_not_pushed_out() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("keepGenerations: 1");
    ends_with(&mut started(&pod)?, CHECKPOINTED)?;
    let good = volume.newest("job-0")?;
    let second = pod.config("interval: 1s\nhooks: {postRestore: {command: [/bin/false], onFailure: fail}}");
    let second = started(&second)?;
    second.stderr.wait_for("nothing could be resumed; the application starts fresh")?;
    second.stderr.wait_for("generation 00000004 is durable")?;
    // Of its own, all but the newest.
    wait_for("older generations to be removed", || {
        let left = volume.generations("job-0");
        (!left.iter().any(|path| path.ends_with("00000002") || path.ends_with("00000003"))).then_some(())
    })?;
    ensure!(good.exists(), "{}", second.transcript());
    Ok(())
}

/// What is said to who asks for a checkpoint after which the application goes on; nothing if there is one.
fn refused(running: &Running) -> Result<Option<String>> {
    let (code, _, err) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    Ok((code != Some(0)).then_some(err))
}

#[test]
fn an_application_does_not_stand_still_for_longer_than_max_pause() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    let faults = &volume.faulty.faults;
    let pod = Pod::new(&volume.volume, "node-a", &["python3", "/programs/memory.py", "60"])
        .config("maxPause: 3s\ngracePeriod: 2m");
    let running = started(&pod)?;
    running.stderr.wait_for("the volume takes about")?;
    // A dump takes half a minute.
    faults.limit_bandwidth(2_000_000);
    let began = Instant::now();
    let told = refused(&running)?.context("there was a checkpoint")?;
    let paused = began.elapsed();
    println!("it was given up after {paused:?}: {told}");
    ensure!(told.contains("raise maxPause or use a faster volume"), "{told}");
    ensure!(paused < Duration::from_secs(10), "{paused:?}\n{}", running.transcript());
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    let told = refused(&running)?.context("there was a checkpoint")?;
    println!("and then it was refused: {told}");
    ensure!(told.contains("the application would stand still for about"), "{told}");
    ensure!(volume.backing.generations("job-0").is_empty());
    faults.clear();
    // A volume that was slow is not slow for ever.
    wait_for("it to be tried again", || refused(&running).ok()?.is_none().then_some(()))?;
    ensure!(volume.backing.generations("job-0").len() == 1);
    Ok(())
}

#[test]
fn a_checkpoint_that_is_nearly_durable_is_finished_when_there_is_no_time_for_another_one() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    let faults = &volume.faulty.faults;
    // Of chunks nothing is read again.
    let pod = Pod::new(&volume.volume, "node-a", &["python3", "/programs/memory.py", "60"])
        .set_config("format: plain")
        .config("gracePeriod: 14s\nreserve: 5s\ndecisionTimeout: 1s");
    let mut running = started(&pod)?;
    running.stderr.wait_for("the volume takes about")?;
    faults.count();
    // To make it durable takes nine seconds.
    faults.limit_reads(7_000_000);
    let reads = || faults.ops().iter().filter(|op| **op == Op::Read).count();
    thread::scope(|scope| {
        let asked = scope.spawn(|| refused(&running));
        running.stderr.wait_for(PAUSED)?;
        // More than half of it, in pieces of at most 128 KiB.
        wait_for("most of it to be durable", || (reads() > 270).then_some(()))?;
        running.signal(Signal::SIGTERM)?;
        running.stderr.wait_for("the checkpoint that is nearly durable is finished first")?;
        let told = asked.join().map_err(|_| anyhow!("it panicked"))??;
        ensure!(told.is_none(), "{told:?}");
        Ok(())
    })?;
    running.wait()?;
    ensure!(volume.backing.generations("job-0").len() == 1, "{}", running.transcript());
    // It died of its SIGTERM, so it goes on from what there is.
    let next = started(&pod.on(&volume.unmount()))?;
    resumes(&next, 1)?;
    chain::verify_repeated(&running.stdout.text(), &next.stdout.text()).map(drop)
}

/// Sets how many files the agent may have open.
fn limit_files(running: &Running, limit: &str) -> Result<()> {
    let agent = running.processes().into_iter().find(|process| process.pid == 1).context("no agent")?;
    run("prlimit", &["--pid", &agent.host_pid.to_string(), &format!("--nofile={limit}:")]).map(drop)
}

/// The lowest number that no open file of the agent has.
fn lowest_free(running: &Running) -> Result<usize> {
    let agent = running.processes().into_iter().find(|process| process.pid == 1).context("no agent")?;
    let is_open =
        |n: &usize| Path::new(&format!("/proc/{}/fd/{n}", agent.host_pid)).symlink_metadata().is_ok();
    (0..).find(|n| !is_open(n)).context("all are open")
}

#[test]
fn an_agent_that_ran_out_of_files_takes_requests_again_later() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    running.stderr.wait_for("the volume takes about")?;
    limit_files(&running, &lowest_free(&running)?.to_string())?;
    thread::scope(|scope| {
        let asked = scope.spawn(|| asked(&running, &["--leave-running"]));
        let refused = running.stderr.wait_for("a connection cannot be taken: Too many open files");
        limit_files(&running, "1024")?;
        let told = asked.join().map_err(|_| anyhow!("it panicked"))??;
        ensure!(told["generation"] == 1, "{told}");
        refused
    })
}
