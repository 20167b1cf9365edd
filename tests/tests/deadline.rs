//! A stop has a deadline, and the volume has an end: what cannot make it is refused in time.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::crik::json;
use crik_tests::pod::Pod;
use crik_tests::story::{
    CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started, starts_fresh, stops_in_order,
};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// A program that holds so many MB of random memory.
fn holding(volume: &Volume, megabytes: u32) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/memory.py", &megabytes.to_string()])
}

/// One of which the next checkpoint has nothing that the last one had.
fn renewing(volume: &Volume, megabytes: u32) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/memory.py", &megabytes.to_string(), "anew"])
}

/// Takes a checkpoint when none of the memory is any more what the program had when it went on.
fn renewed(pod: &Pod) -> Result<String> {
    let mut running = started(pod)?;
    let lines = running.stdout.text().lines().count();
    // A step takes two milliseconds, and so these take more than a second.
    running.wait_for_lines(lines + 800)?;
    ends_with(&mut running, CHECKPOINTED)?;
    Ok(running.stdout.text())
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
    let pod = renewing(&volume, 35).config("keepGenerations: 9");
    let outputs = [renewed(&pod)?, renewed(&pod)?, renewed(&pod)?];
    let last = started(&pod)?;
    resumes(&last, 3)?;
    ensure!(!volume.generations("job-0")[0].ends_with("00000001"), "nothing was given up");
    chain::verify(&[outputs.concat(), last.stdout.text()]).map(drop)
}

#[test]
fn the_room_that_the_readme_asks_for_is_enough() -> Result<()> {
    const KEPT: u64 = 2;
    let elsewhere = Volume::new()?;
    checkpointed(&holding(&elsewhere, 100))?;
    let list = json(&elsewhere, &["list"])?;
    let memory = list["generations"][0]["residentBytes"].as_u64().context("no memory")?;
    let volume = Volume::of_size(u32::try_from((KEPT + 1) * memory.div_ceil(1 << 20))?)?;
    let pod = holding(&volume, 100).config(&format!("keepGenerations: {KEPT}"));
    for generation in 0..2 * KEPT {
        let mut running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        ends_with(&mut running, CHECKPOINTED)?;
        let log = running.stderr.text();
        ensure!(log.contains("is durable"), "{}", running.transcript());
        for trouble in ["nearly full", "may be too small", "make the volume larger"] {
            ensure!(!log.contains(trouble), "{trouble:?} with {memory} bytes of memory\n{log}");
        }
    }
    Ok(())
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

#[test]
fn files_that_go_along_need_room_as_memory_does() -> Result<()> {
    let volume = Volume::of_size(60)?;
    let make = "head -c 100M /dev/urandom > /srv/big; exec \"$@\"";
    let command = [&["sh", "-c", make, "sh"][..], &SINGLE].concat();
    let mut running = started(&Pod::new(&volume, "node-a", &command))?;
    stops_in_order(&mut running, 0)?;
    let log = running.stderr.text();
    ensure!(log.contains(" MB free and the checkpoint needs about 1"), "{log}");
    ensure!(!log.contains("the application is frozen"), "it was found out only by trying\n{log}");
    ensure!(volume.generations("job-0").is_empty(), "{log}");
    Ok(())
}

#[test]
fn a_volume_without_room_for_what_the_program_has_by_now_is_told_while_it_runs_and_so_is_one_that_has_it_again()
-> Result<()> {
    let volume = Volume::of_size(200)?;
    let running = started(&holding(&volume, 60))?;
    running.stderr.wait_for("the volume takes about")?;
    let ballast = volume.path().join("somebody-else");
    fs::write(&ballast, vec![1; 150 << 20])?;
    running.stderr.wait_for("a checkpoint may find no room by now: the volume has ")?;
    fs::remove_file(&ballast)?;
    running.stderr.wait_for("the volume has room for a checkpoint again")?;
    let told = running.stderr.text().matches("may find no room").count();
    ensure!(told == 1, "it was told {told} times\n{}", running.transcript());
    Ok(())
}

/// What many processes share is written once, and so are the pages that nobody has touched never.
#[test]
fn memory_that_is_shared_counts_once() -> Result<()> {
    let volume = Volume::of_size(100)?;
    // 11 times 40 MB would be more than four times what is free.
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/shared.py", "40", "10"]);
    let mut running = started(&pod)?;
    wait_for("all of them to have it", || {
        let (_, shown, _) = running.exec(&["sh", "-c", "cat /proc/[0-9]*/status | grep RssShmem"]).ok()?;
        let having = shown.lines().filter(|line| !line.contains(" 0 kB")).count();
        (having > 10).then_some(())
    })?;
    running.signal(Signal::SIGTERM)?;
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

/// A quota is in no free space that a volume tells, and says so only when it is reached.
#[test]
fn a_quota_costs_the_oldest_generation_and_not_the_newest_checkpoint() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    volume.faulty.faults.limit_bytes(120 << 20);
    // In chunks three of them would fit.
    let pod = renewing(&volume.volume, 35).config("keepGenerations: 9").set_config("format: plain");
    let outputs = [renewed(&pod)?, renewed(&pod)?];
    let mut third = started(&pod)?;
    third.wait_for_lines(800)?;
    third.signal(Signal::SIGTERM)?;
    ensure!(third.wait()? == CHECKPOINTED, "{}", third.transcript());
    third.stderr.wait_for("generation 00000001 is given up, since the volume is nearly full")?;
    third.stderr.wait_for("trying again")?;
    ensure!(volume.volume.generations("job-0").len() == 2, "{}", third.transcript());
    let last = started(&pod)?;
    resumes(&last, 3)?;
    chain::verify(&[outputs.concat(), third.stdout.text(), last.stdout.text()]).map(drop)
}

#[test]
fn a_quota_costs_no_generation_that_may_still_be_needed() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    let small = holding(&volume.volume, 35);
    checkpointed(&small)?;
    volume.faulty.faults.limit_bytes(80 << 20);
    // Another program, which the first one's checkpoint is not for.
    let mut large = started(&holding(&volume.volume, 60).config("onRestoreFailure: fresh"))?;
    starts_fresh(&large)?;
    large.signal(Signal::SIGTERM)?;
    ensure!(large.wait()? == 128 + 15, "{}", large.transcript());
    ensure!(large.stderr.text().contains("quota"), "{}", large.transcript());
    resumes(&started(&small)?, 1)
}

/// The speed was measured when the volume was slow.
#[test]
fn a_volume_that_was_slow_once_is_measured_again() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    volume.faulty.faults.limit_bandwidth(400_000);
    let mut running = started(&holding(&volume.volume, 35).config("gracePeriod: 10s\nreserve: 5s"))?;
    running.stderr.wait_for("the volume takes about")?;
    volume.faulty.faults.clear();
    running.signal(Signal::SIGTERM)?;
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    Ok(())
}

#[test]
fn a_volume_that_is_still_too_slow_is_not_tried() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    volume.faulty.faults.limit_bandwidth(400_000);
    // How much there is to write in chunks is not known before.
    let pod = holding(&volume.volume, 35).set_config("format: plain");
    let mut running = started(&pod.config("gracePeriod: 10s\nreserve: 5s"))?;
    running.stderr.wait_for("the volume takes about")?;
    running.signal(Signal::SIGTERM)?;
    ensure!(running.wait()? == 128 + 15, "{}", running.transcript());
    let log = running.stderr.text();
    ensure!(log.contains("would take") && !log.contains("the application is frozen"), "{log}");
    Ok(())
}
