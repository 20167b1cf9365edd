//! How often a generation is tried: neither nodes that are lost nor a probe that ends each restore cost it, and none is tried for ever.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_store::base::fault_points::HURRY_VARIABLE;
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::crik::crik;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{SINGLE, STEPS, checkpointed, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;
use serde_json::Value;

/// What a container ends with that was told to stop before its program ran.
const STOPPED: i32 = 128 + 15;

/// What is written down of the attempts to resume the first generation.
fn attempts(volume: &Volume) -> Result<Vec<Value>> {
    let text = fs::read_to_string(volume.path().join("job-0/claims/00000001.json"))?;
    let account: Value = serde_json::from_str(&text)?;
    Ok(account["attempts"].as_array().context("no attempts")?.clone())
}

/// Its node is lost.
fn vanishes(mut running: Running) -> Result<()> {
    running.signal(Signal::SIGKILL)?;
    running.wait().map(drop)
}

#[test]
fn a_generation_is_given_up_after_max_restores() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("maxRestores: 2");
    checkpointed(&pod)?;
    for _ in 0..2 {
        let mut running = started(&pod)?;
        resumes(&running, 1)?;
        running.signal(Signal::SIGKILL)?;
        running.wait()?;
    }
    let running = started(&pod)?;
    let last = format!("the last time by {}: resumed", running.host_name());
    running.stderr.wait_for(&format!("it was resumed 2 times (maxRestores), {last}"))?;
    starts_fresh(&running)
}

/// By so much the ten minutes are shortened after which a program has shown that its checkpoint works.
const HURRIED: &str = "600";

/// Three more than may be.
const LOST_NODES: usize = 5;

#[test]
fn nodes_that_are_lost_long_after_a_resume_do_not_cost_the_generation() -> Result<()> {
    let volume = Volume::new()?;
    let binary = cargo_bin("crik-agent", "crik", &["fault-points"])?;
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .config("maxRestores: 2\nclaimExpiry: 1s")
        .binary(&binary)
        .with(|spec| spec.env(HURRY_VARIABLE, HURRIED));
    let first = checkpointed(&pod)?;
    for lost in 1..=LOST_NODES {
        let running = started(&pod.replacement())?;
        resumes(&running, 1)?;
        wait_for("it to have run for long enough", || {
            let attempts = attempts(&volume).ok()?;
            (attempts.len() == lost && attempts.last()?["settled"] == true).then_some(())
        })
        .with_context(|| running.transcript())?;
        chain::verify(&[first.clone(), running.stdout.text()])?;
        vanishes(running)?;
    }
    let last = started(&pod.replacement())?;
    resumes(&last, 1)?;
    chain::verify(&[first, last.stdout.text()]).map(drop)
}

/// How many restores in a row may be cut off before that counts.
const FREE: usize = 5;

/// A restore that takes longer than any probe waits.
const LONG: &str = "hooks: {postRestore: {command: [sh, -c, 'echo >> /checkpoints/restores; exec sleep 600'], timeout: 700s}}";

#[test]
fn a_probe_that_ends_each_restore_ends_in_a_program_that_runs_and_not_in_a_loop() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("claimExpiry: 1s");
    let first = checkpointed(&pod)?;
    let probed = pod.clone().config(&format!("maxRestores: 1\n{LONG}"));
    let restores = || fs::read_to_string(volume.path().join("restores")).unwrap_or_default().lines().count();
    let most = FREE + 1;
    for restore in 1..=most {
        let mut running = probed.start()?;
        wait_for("a restore", || (restores() == restore).then_some(())).with_context(|| running.state())?;
        ensure!(running.end_for_a_probe()? == STOPPED, "{}", running.transcript());
        ensure!(running.stdout.text().is_empty(), "it ran\n{}", running.transcript());
        if restore > 1 {
            running
                .stderr
                .wait_for(&format!("a SIGTERM has cut the restore off {restore} times in a row"))?;
        }
    }
    let last = probed.start()?;
    last.stderr.wait_for(&format!("its restore was cut off by a SIGTERM {most} times in a row"))?;
    last.stderr.wait_for("give the container a startupProbe")?;
    starts_fresh(&last)?;
    last.wait_for_lines(STEPS)?;
    // A person who has given it one gets everything back.
    let list = crik(&volume, &["list"])?.out;
    ensure!(volume.generations("job-0").len() == 1, "{list}\n{}", last.transcript());
    vanishes(last)?;
    let next = started(&pod.config("maxRestores: 2"))?;
    resumes(&next, 1)?;
    chain::verify(&[first, next.stdout.text()]).map(drop)
}
