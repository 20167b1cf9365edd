//! Checkpoints that are kept in chunks: what is written once is not written again, what is altered is not resumed, and what is encrypted
//! stands nowhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use crik_tests::crik::{crik, json};
use crik_tests::pod::Pod;
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, resumes, started, starts_fresh};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

/// Megabytes that the program of these tests has.
const MEGABYTES: u64 = 48;

/// In the memory of a program, and in no file that it was started from.
const MARK: &[u8] = b"kept-by-the-program-alone";

fn pod(volume: &Volume, config: &str) -> Pod {
    let command = ["python3", "/programs/memory.py", &MEGABYTES.to_string()];
    Pod::new(volume, "node-a", &command).set_config("format: chunks").config("claimExpiry: 1s").config(config)
}

/// A program that makes the mark from two halves.
fn marked(volume: &Volume, config: &str) -> Pod {
    let (first, second) = std::str::from_utf8(MARK).unwrap_or_default().split_at(8);
    let program = format!(
        "import sys, time\nsys.path.insert(0, '/programs')\nfrom steps import Steps\nkept = ['{first}' + '{second}' * 1 + str(n) for n in range(2000)]\n\
         steps = Steps()\nwhile True:\n  steps.step()\n  time.sleep(0.01)"
    );
    Pod::new(volume, "node-a", &["python3", "-c", &program]).config(config)
}

fn packs(volume: &Volume) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(volume.path().join("job-0/packs"))?;
    Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}

/// Whether the mark stands in a file below a directory.
fn has_mark(directory: &Path) -> Result<bool> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => has_mark(&path)?,
            false => fs::read(&path)?.windows(MARK.len()).any(|window| window == MARK),
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn what_has_not_changed_is_not_written_again_and_goes_with_the_last_that_needs_it() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "keepGenerations: 1");
    checkpointed(&pod)?;
    for moves in 2..5 {
        let running = started(&pod)?;
        resumes(&running, moves - 1)?;
        drop(running);
        checkpointed(&pod)?;
        let list = json(&volume, &["list"])?;
        let newest = &list["generations"][0];
        let [bytes, new] = ["bytes", "newBytes"].map(|name| newest[name].as_u64().unwrap_or(0));
        ensure!(bytes > MEGABYTES << 20 && new < bytes / 3, "{new} of {bytes} are new\n{list}");
    }
    ensure!(crik(&volume, &["verify"])?.out.contains("whole"), "{}", crik(&volume, &["verify"])?.out);
    let told = crik(&volume, &["inspect"])?.out;
    ensure!(told.contains("are new; memory in chunks") && told.contains("python3"), "{told}");
    let stored: u64 =
        packs(&volume)?.iter().map(|pack| fs::metadata(pack).map_or(0, |meta| meta.len())).sum();
    ensure!(stored < 4 * (MEGABYTES << 20), "{stored} bytes are in packs");
    for generation in volume.generations("job-0") {
        fs::remove_dir_all(generation)?;
    }
    crik(&volume, &["gc"])?;
    ensure!(packs(&volume)?.is_empty(), "{:?} are left", packs(&volume)?);
    Ok(())
}

#[test]
fn each_form_is_resumed_whatever_the_next_pod_writes() -> Result<()> {
    let volume = Volume::new()?;
    let mut pod = pod(&volume, "keepGenerations: 9");
    for (number, format) in ["plain", "chunks", "plain", "chunks"].into_iter().enumerate() {
        pod = pod.set_config(&format!("format: {format}"));
        if number > 0 {
            resumes(&started(&pod)?, number as u64)?;
        }
        checkpointed(&pod)?;
    }
    let list = json(&volume, &["list"])?;
    ensure!(list["generations"].as_array().is_some_and(|all| all.len() == 4), "{list}");
    Ok(())
}

/// The generation of a pod that is told nothing about it.
fn kept_by_itself(volume: &Volume, told: &str) -> Result<serde_json::Value> {
    let pod = Pod::new(volume, "node-a", &SINGLE).set_config("format: auto");
    let mut running = started(&pod)?;
    running.stderr.wait_for(told)?;
    running.signal(Signal::SIGTERM)?;
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    resumes(&started(&pod)?, 1)?;
    Volume::manifest(&volume.newest("job-0")?)
}

#[test]
fn a_slow_volume_gets_chunks_and_a_fast_one_what_criu_writes() -> Result<()> {
    let slow = Volume::new()?.far_copy()?;
    slow.faulty.faults.set_round_trip(Duration::from_millis(5));
    let manifest = kept_by_itself(&slow.volume, "checkpoints are kept in chunks")?;
    ensure!(manifest["streams"].is_object(), "{manifest}");
    let fast = Volume::of_size(200)?;
    let manifest = kept_by_itself(&fast, "checkpoints are kept as CRIU writes them")?;
    ensure!(manifest["streams"].is_null(), "{manifest}");
    Ok(())
}

#[test]
fn an_altered_chunk_is_found_when_it_is_used_and_the_checkpoint_is_not_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "");
    checkpointed(&pod)?;
    for pack in packs(&volume)? {
        let mut bytes = fs::read(&pack)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(pack, bytes)?;
    }
    let mut running = started(&pod)?;
    starts_fresh(&running)?;
    running.stderr.wait_for("was altered after the commit (a chunk of pack")?;
    let told = crik(&volume, &["verify"])?.out;
    ensure!(told.contains("was altered after the commit"), "{told}");
    // What is damaged is nothing that the next checkpoint builds on.
    ensure!(running.stop()? == CHECKPOINTED, "{}", running.transcript());
    resumes(&started(&pod)?, 2)
}

#[test]
fn a_pack_that_is_missing_is_named() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "");
    checkpointed(&pod)?;
    packs(&volume)?.iter().try_for_each(fs::remove_file)?;
    let running = started(&pod)?;
    starts_fresh(&running)?;
    running.stderr.wait_for("cannot be read: pack ")?;
    Ok(())
}

#[test]
fn what_is_encrypted_stands_nowhere_and_is_resumed_with_the_key_alone() -> Result<()> {
    let volume = Volume::new()?;
    // Where it is not encrypted it can be found.
    checkpointed(&marked(&volume, ""))?;
    ensure!(has_mark(&volume.path().join("job-0"))?, "the mark is not found where it must be");
    fs::remove_dir_all(volume.path().join("job-0"))?;

    let keys = |keys: &str| fs::write(volume.path().join("keys"), keys);
    let (old, new) = ("o".repeat(40), "n".repeat(40));
    keys(&old)?;
    let without = || marked(&volume, "claimExpiry: 1s").set_config("format: chunks");
    let with = without().config("encryptionKeyFile: /checkpoints/keys");
    checkpointed(&with)?;
    ensure!(!has_mark(&volume.path().join("job-0"))?, "the program's memory can be read");
    resumes(&started(&with)?, 1)?;
    keys(&format!("{new}\n{old}"))?;
    resumes(&started(&with)?, 1)?;
    checkpointed(&with)?;
    keys(&new)?;
    resumes(&started(&with)?, 2)?;
    let running = started(&without())?;
    starts_fresh(&running)?;
    running.stderr.wait_for("it is encrypted, and there is no encryptionKeyFile with the key to it")?;
    Ok(())
}
