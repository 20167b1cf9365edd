//! What works on the volume is given up when nothing moves, and not when it has taken long; and does nothing afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::faulty::Op;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, STEPS, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

fn inode(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.ino())
}

#[test]
fn a_restore_may_take_long_as_long_as_it_moves() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/memory.py", "60"]);
    let before = checkpointed(&pod)?;
    let slow = volume.faulty_copy()?;
    slow.faulty.faults.limit_reads(15_000_000);
    let began = Instant::now();
    let next = started(&pod.on(&slow.volume).config("restoreTimeout: 2s"))?;
    resumes(&next, 1)?;
    println!("restored in {:?}, with a restoreTimeout of 2 s", began.elapsed());
    ensure!(began.elapsed() > Duration::from_secs(4), "the volume was not slow");
    chain::verify(&[before, next.stdout.text()]).map(drop)
}

/// One whose checkpoints have files of which single operations can be held up.
fn plain(pod: Pod) -> Pod {
    pod.set_config("format: plain")
}

/// Writes a file of the program's that goes along.
fn write(running: &Running, contents: char) -> Result<()> {
    let script = format!("head -c 3000000 /dev/zero | tr '\\0' {contents} > /data/state");
    let (code, _, err) = running.exec(&["/bin/sh", "-c", &script])?;
    ensure!(code == Some(0), "{err}");
    Ok(())
}

#[test]
fn what_was_given_up_puts_nothing_back_and_runs_no_hook_below_the_next_one() -> Result<()> {
    let volume = Volume::new()?;
    let hook = "hooks: {postRestore: {command: [/bin/sh, -c, 'echo $CRIK_GENERATION >> /checkpoints/hook']}}";
    let pod = plain(Pod::new(&volume, "node-a", &SINGLE)).empty_dir("/data").config(hook);
    for contents in ['1', '2'] {
        let mut running = started(&pod)?;
        write(&running, contents)?;
        ends_with(&mut running, CHECKPOINTED)?;
    }
    fs::remove_file(volume.path().join("hook"))?;
    let late = volume.faulty_copy()?;
    // Nothing is read of it before it is put back.
    let pod = pod.on(&late.volume).config("restoreTimeout: 2s\nverifyHashes: false");
    let carried = inode(&late.backing.newest("job-0")?.join("carried.data"))?;
    late.faulty.faults.delay(Op::Read, carried, Duration::from_secs(6));
    let next = started(&pod)?;
    next.stderr.wait_for("generation 00000002 is skipped: nothing of it moved for 2s")?;
    resumes(&next, 1)?;
    let (_, state, _) = next.exec(&["tail", "-c", "3", "/data/state"])?;
    ensure!(state == "111", "{state}\n{}", next.transcript());
    let ran = fs::read_to_string(late.backing.path().join("hook"))?;
    ensure!(ran == "1\n", "hooks of generations {ran}");
    Ok(())
}

#[test]
fn a_checkpoint_that_comes_too_late_leaves_the_volume_to_the_application() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    let faults = &volume.faulty.faults;
    let pod = plain(Pod::new(&volume.volume, "node-a", &["python3", "/programs/memory.py", "60"]))
        .config("gracePeriod: 8s\nreserve: 4s\ndecisionTimeout: 1s");
    let mut running = started(&pod)?;
    running.stderr.wait_for("the volume takes about")?;
    // To hash it takes twenty seconds.
    faults.count();
    faults.limit_reads(3_000_000);
    running.signal(Signal::SIGTERM)?;
    running.stderr.wait_for("the application is frozen")?;
    running.stderr.wait_for("no checkpoint; the application is told to stop")?;
    let reads = || faults.ops().iter().filter(|op| **op == Op::Read).count();
    let then = reads();
    running.wait()?;
    println!("{then} reads until the application was told to stop, and {} more", reads() - then);
    ensure!(then > 10 && reads() - then <= 8, "{then} and then {}\n{}", reads(), running.transcript());
    ensure!(volume.backing.generations("job-0").is_empty());
    Ok(())
}

#[test]
fn a_commit_whose_answer_was_lost_is_one() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let before = checkpointed(&pod)?;
    let lossy = volume.faulty_copy()?;
    let mut running = started(&pod.on(&lossy.volume))?;
    let generations = inode(&lossy.backing.path().join("job-0/generations"))?;
    lossy.faulty.faults.lose_answer(Op::Rename, generations, libc::ENOENT);
    ends_with(&mut running, CHECKPOINTED)?;
    let next = started(&pod.on(&lossy.unmount()))?;
    resumes(&next, 2)?;
    chain::verify(&[before, running.stdout.text(), next.stdout.text()]).map(drop)
}

/// Longer than the stop has. Nothing ends a write that a server has begun with.
const STUCK: Duration = Duration::from_secs(10);

/// The processes that are CRIU, as this machine calls them.
fn criu(running: &Running) -> BTreeSet<i32> {
    running
        .processes()
        .iter()
        .filter(|one| one.name == "criu" && one.state != 'Z')
        .map(|one| one.host_pid)
        .collect()
}

#[test]
fn a_checkpoint_that_waits_for_another_ones_criu_until_its_deadline_is_never_begun() -> Result<()> {
    let volume = Volume::new()?.far_copy()?;
    let pod = plain(Pod::new(&volume.volume, "node-a", &["python3", "/programs/stubborn.py"]))
        .config("gracePeriod: 6s\nreserve: 3s\ndecisionTimeout: 1s");
    let mut running = started(&pod)?;
    running.stderr.wait_for("the volume takes about")?;
    let faults = &volume.faulty.faults;
    // So that there are more pages to come when their file is seen.
    faults.limit_bandwidth(1_000_000);
    running.exec_on(&["crik", "checkpoint", "--leave-running"])?;
    let pages = wait_for("CRIU to write pages", || {
        volume
            .backing
            .staged("job-0")
            .iter()
            .find_map(|staging| inode(&staging.join("criu/pages-1.img")).ok())
    })?;
    faults.delay(Op::Write, pages, STUCK);
    wait_for("a write that takes long", || (!faults.awaits_delay()).then_some(()))?;
    let first = criu(&running);
    running.signal(Signal::SIGTERM)?;
    running.stderr.wait_for("no checkpoint; the application is told to stop")?;
    let said = running.stderr.text();
    ensure!(!said.contains("beside the program"), "its own criu is taken for a session\n{said}");
    ensure!(!first.is_empty() && criu(&running) == first, "it does not hang\n{}", running.state());
    wait_for("the CRIU that was given up to end", || criu(&running).is_disjoint(&first).then_some(()))
        .with_context(|| running.state())?;
    // What waited for it would have its turn now.
    running.stdout.wait_for("not yet")?;
    let steps = running.stdout.text().lines().count();
    let later = wait_for("the program to go on", || {
        let others = criu(&running);
        (!others.is_empty() || running.stdout.text().lines().count() > steps + 5 * STEPS).then_some(others)
    })?;
    ensure!(later.is_empty(), "another dump was begun\n{}", running.state());
    ensure!(volume.backing.generations("job-0").is_empty(), "{}", running.transcript());
    running.signal(Signal::SIGKILL)?;
    running.wait().map(drop)
}
