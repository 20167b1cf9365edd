//! A stop has a deadline, and the volume has an end: what cannot make it is refused in time.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::pod::Pod;
use crik_tests::story::{CHECKPOINTED, checkpointed, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// A program that holds so many MB of random memory.
fn holding(volume: &Volume, megabytes: u32) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/memory.py", &megabytes.to_string()])
}

#[test]
fn a_second_sigterm_and_a_sigint_do_not_break_a_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let pod = holding(&volume, 200);
    let mut running = started(&pod)?;
    running.signal(Signal::SIGTERM)?;
    wait_for("the dump to begin", || volume.staged("job-0").first().cloned())?;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
        // It may have ended already.
        let _ = running.signal(signal);
    }
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

#[test]
fn older_generations_make_room_for_a_newer_one() -> Result<()> {
    let volume = Volume::of_size(120)?;
    let pod = holding(&volume, 35).config("keepGenerations: 9");
    let outputs = [checkpointed(&pod)?, checkpointed(&pod)?, checkpointed(&pod)?];
    let last = started(&pod)?;
    resumes(&last, 3)?;
    ensure!(!volume.generations("job-0")[0].ends_with("00000001"), "nothing was given up");
    chain::verify(&[outputs.concat(), last.stdout.text()]).map(drop)
}

#[test]
fn what_the_volume_has_no_room_for_is_refused_with_the_two_numbers() -> Result<()> {
    let volume = Volume::of_size(120)?;
    let small = holding(&volume, 35);
    checkpointed(&small)?;
    let mut large = started(&holding(&volume, 200).config("onRestoreFailure: fresh"))?;
    starts_fresh(&large)?;
    large.signal(Signal::SIGTERM)?;
    ensure!(large.wait()? == 128 + 15, "{}", large.transcript());
    let log = large.stderr.text();
    ensure!(log.contains(" MB free and the checkpoint needs about 2"), "{log}");
    ensure!(!log.contains("the application is frozen"), "it was found out only by trying\n{log}");
    let next = started(&small)?;
    resumes(&next, 1)
}
