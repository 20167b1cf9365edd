//! Whatever fails, the application ends up as it would have without crik, and an older checkpoint is never lost.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use crik_tests::build::workspace;
use crik_tests::chain;
use crik_tests::command::run;
use crik_tests::crik::crik;
use crik_tests::pod::Pod;
use crik_tests::story::{
    CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started, starts_fresh, stops_in_order,
};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;
use serde_json::json;

#[test]
fn a_dump_that_criu_refuses_ends_in_an_ordinary_stop() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/refusing.py"]);
    let mut running = started(&pod)?;
    running.send(Signal::SIGUSR1)?;
    running.stdout.wait_for("refusing")?;
    stops_in_order(&mut running, 0)?;
    running.stderr.wait_for("corked dgram socket")?;
    running.stderr.wait_for("CRIU's log is kept in /checkpoints/job-0/failed-dump.log")?;
    ensure!(volume.generations("job-0").is_empty());
    ensure!(volume.staged("job-0").is_empty(), "the staging directory was left behind");
    ensure!(
        running.termination_message()?.contains("crik: no checkpoint: "),
        "{}",
        running.termination_message()?
    );
    let next = started(&pod)?;
    starts_fresh(&next)?;
    // The log of the pod that was stopped is gone by now.
    let why = format!("the last stop, of {}", running.place());
    next.stderr.wait_for(&why)?;
    next.stderr.wait_for("left no checkpoint: criu failed")?;
    let list = crik(&volume, &["list"])?.out;
    ensure!(list.contains(&why) && list.contains("corked dgram socket"), "{list}");
    Ok(())
}

#[test]
fn what_cannot_be_run_says_so_in_the_termination_message() -> Result<()> {
    let volume = Volume::new()?;
    for (config, code, message) in [
        ("gracePeriod: 30", 78, "\"30\" is no duration"),
        ("signingKeyFile: /no/such/key", 78, "/no/such/key"),
        ("encryptionKeyFile: /no/such/keys", 78, "encryptionKeyFile /no/such/keys: No such file"),
        ("encryptionKeyFile: /etc/hostname", 78, "and a key has at least 32"),
    ] {
        let mut running = Pod::new(&volume, "node-a", &SINGLE).config(config).start()?;
        ensure!(running.wait()? == code, "{}", running.transcript());
        let told = running.termination_message()?;
        ensure!(told.starts_with("crik: ") && told.contains(message), "{told}");
    }
    Ok(())
}

#[test]
fn nothing_is_started_while_nobody_knows_which_line_of_checkpoints_counts() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let before = checkpointed(&pod)?;
    let lines = volume.path().join("job-0/lines.json");
    fs::write(&lines, "{")?;
    let mut refused = pod.start()?;
    let code = refused.wait()?;
    refused.stderr.wait_for("lines.json is damaged").with_context(|| refused.transcript())?;
    ensure!(code == 75 && refused.stdout.text().is_empty(), "exit code {code}\n{}", refused.transcript());
    fs::remove_file(lines)?;
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[before, next.stdout.text()]).map(drop)
}

#[test]
fn a_damaged_mark_of_an_end_costs_neither_what_there_was_nor_what_comes() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("keepGenerations: 1");
    let before = checkpointed(&pod)?;
    fs::write(volume.path().join("job-0/ended.json"), "{")?;
    let mut fresh = started(&pod)?;
    starts_fresh(&fresh)?;
    fresh.stderr.wait_for("ended.json is damaged")?;
    ends_with(&mut fresh, CHECKPOINTED)?;
    let next = started(&pod)?;
    resumes(&next, 2)?;
    chain::verify(&[fresh.stdout.text(), next.stdout.text()])?;
    drop(next);
    let list = crik(&volume, &["list"])?.out;
    ensure!(list.contains("the mark of an end is damaged") && list.contains("crik choose 1"), "{list}");
    fs::remove_dir_all(volume.path().join("job-0/holders"))?;
    ensure!(crik(&volume, &["choose", "1"])?.code == Some(0));
    let chosen = started(&pod)?;
    resumes(&chosen, 1)?;
    chain::verify(&[before, chosen.stdout.text()]).map(drop)
}

#[test]
fn a_failed_checkpoint_does_not_cost_the_older_one() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/refusing.py"])
        .with(|spec| spec.env("GOODBYE", "9"));
    let first = checkpointed(&pod)?;
    let mut second = started(&pod)?;
    second.send(Signal::SIGUSR1)?;
    second.stdout.wait_for("refusing")?;
    stops_in_order(&mut second, 9)?;
    let third = started(&pod)?;
    resumes(&third, 1)?;
    chain::verify(&[first, third.stdout.text()])?;
    Ok(())
}

#[test]
fn a_volume_that_is_full_ends_in_an_ordinary_stop() -> Result<()> {
    let volume = Volume::new()?;
    let small = json!({"type": "tmpfs", "source": "tmpfs", "destination": "/small", "options": ["size=1m"]});
    let pod = Pod::new(&volume, "node-a", &SINGLE)
        .only_config("imageDir: /small/job")
        .with(|spec| spec.mounts.push(small));
    let mut running = started(&pod)?;
    stops_in_order(&mut running, 0)?;
    running.stderr.wait_for("no checkpoint; the application is told to stop")
}

/// Less than the file by which the speed of an ordinary volume is measured.
const SMALL_MEGABYTES: u32 = 14;

#[test]
fn a_volume_that_is_small_takes_the_checkpoint_of_a_small_program() -> Result<()> {
    let volume = Volume::of_size(SMALL_MEGABYTES)?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let mut running = started(&pod)?;
    running.stderr.wait_for("the volume takes about").with_context(|| running.transcript())?;
    ends_with(&mut running, CHECKPOINTED)?;
    let told = running.stderr.text();
    ensure!(!told.contains("no checkpoint can be taken here"), "{told}");
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[running.stdout.text(), next.stdout.text()]).map(drop)
}

#[test]
fn what_a_pod_that_is_gone_was_dumping_does_not_keep_the_next_one_from_starting() -> Result<()> {
    let volume = Volume::of_size(100)?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let before = checkpointed(&pod)?;
    let mut dead = started(&pod)?;
    dead.signal(Signal::SIGKILL)?;
    dead.wait()?;
    let mut holds = fs::read_dir(volume.path().join("job-0/holders"))?.flatten();
    let dump = holds.next().context("no hold")?.path().join("staging-1/criu");
    fs::create_dir_all(&dump)?;
    let filled = fs::write(dump.join("pages-1.img"), vec![1; 100 << 20]);
    ensure!(filled.is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC)), "the volume is not full");
    let next = started(&pod)?;
    resumes(&next, 1)?;
    chain::verify(&[before, next.stdout.text()]).map(drop)
}

#[test]
fn a_missing_volume_is_said_at_start_and_the_application_runs() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).only_config("imageDir: /forgotten/job");
    let mut running = started(&pod)?;
    running.stderr.wait_for("/forgotten does not exist; mount the checkpoint volume there")?;
    stops_in_order(&mut running, 0)
}

#[test]
fn an_image_directory_outside_a_volume_is_said_at_start() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE).only_config("imageDir: /var/job"))?;
    running.stderr.wait_for("imageDir /var/job is on the container's own file system")
}

#[test]
fn missing_capabilities_are_said_at_start_and_the_application_stops_in_order() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).with(|spec| {
        spec.capabilities.retain(|name| name != "CAP_CHECKPOINT_RESTORE" && name != "CAP_SYS_PTRACE")
    });
    let mut running = started(&pod)?;
    running.stderr.wait_for("the capability CHECKPOINT_RESTORE is missing; add it to securityContext")?;
    running.stderr.wait_for("the capability SYS_PTRACE is missing")?;
    stops_in_order(&mut running, 0)
}

#[test]
fn a_seccomp_profile_is_said_at_start_and_the_application_stops_in_order() -> Result<()> {
    let volume = Volume::new()?;
    // Allows all but one call that nothing here makes; any profile is in CRIU's way.
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
    });
    let mut running =
        started(&Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.seccomp = Some(profile)))?;
    running.stderr.wait_for("seccompProfile.type: Unconfined")?;
    stops_in_order(&mut running, 0)
}

/// A stand-in for the `criu` in the container.
fn with_criu(pod: Pod, script: &str, volume: &Volume) -> Result<Pod> {
    let path = volume.path().join("criu");
    fs::write(&path, script)?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(pod.with(|spec| spec.mounts.push(crik_tests::spec::bind(&path, "/usr/sbin/criu", "ro"))))
}

#[test]
fn a_missing_criu_is_said_at_start_with_the_version_that_is_needed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = with_criu(Pod::new(&volume, "node-a", &SINGLE), "no program", &volume)?;
    let mut running = started(&pod)?;
    running.stderr.wait_for("install criu 4.2.0 or newer in the container")?;
    stops_in_order(&mut running, 0)
}

#[test]
fn a_criu_that_hangs_is_cut_off_in_time_for_the_application() -> Result<()> {
    let volume = Volume::new()?;
    let pod = with_criu(Pod::new(&volume, "node-a", &SINGLE), "#!/bin/sh\nexec sleep 1000\n", &volume)?
        .config("gracePeriod: 3s\nreserve: 1s\ndecisionTimeout: 1s");
    let mut running = started(&pod)?;
    stops_in_order(&mut running, 0)
}

/// Checkpoints, damages the generation, and expects a fresh start for `reason`.
fn skipped_after(damage: impl FnOnce(&Path) -> Result<()>, reason: &str) -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    checkpointed(&pod)?;
    damage(&volume.newest("job-0")?)?;
    let running = started(&pod)?;
    starts_fresh(&running)?;
    running.stderr.wait_for(reason).with_context(|| running.transcript())?;
    chain::verify(&[running.stdout.text()])?;
    Ok(())
}

fn pages(generation: &Path) -> Result<std::path::PathBuf> {
    let mut images = fs::read_dir(generation.join("criu"))?.flatten().map(|entry| entry.path());
    images.find(|path| path.to_string_lossy().contains("pages-")).context("no pages")
}

#[test]
fn a_truncated_image_is_found() -> Result<()> {
    let truncate = |generation: &Path| {
        let file = fs::File::options().write(true).open(pages(generation)?)?;
        Ok(file.set_len(file.metadata()?.len() - 1)?)
    };
    skipped_after(truncate, "bytes where")
}

#[test]
fn a_flipped_bit_in_the_pages_is_found() -> Result<()> {
    let flip = |generation: &Path| {
        let path = pages(generation)?;
        let mut bytes = fs::read(&path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(fs::write(path, bytes)?)
    };
    skipped_after(flip, "was altered after the commit")
}

#[test]
fn a_flipped_bit_that_criu_stumbles_over_is_named_by_its_cause() -> Result<()> {
    let flip = |generation: &Path| {
        let path = generation.join("criu/pstree.img");
        let mut bytes = fs::read(&path)?;
        bytes[9] ^= 0x40;
        Ok(fs::write(path, bytes)?)
    };
    skipped_after(flip, "its file criu/pstree.img was altered after the commit")
}

/// How many lines of CRIU's log are told of an error that nobody knows.
const LINES_TOLD: usize = 15;

#[test]
fn an_error_of_criu_that_nobody_knows_is_one_sentence_and_the_end_of_its_log_is_in_the_containers()
-> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("verifyHashes: false");
    checkpointed(&pod)?;
    let images = volume.newest("job-0")?.join("criu");
    let mut all = fs::read_dir(&images)?.flatten().map(|entry| entry.path());
    let is_of_directories = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("fs-"))
    };
    let image = all.find(is_of_directories).context("no image of working directories")?;
    let mut bytes = fs::read(&image)?;
    bytes[..8].fill(0xff);
    fs::write(&image, bytes)?;
    let running = started(&pod)?;
    starts_fresh(&running)?;
    let said = running.stderr.text();
    let sentences: Vec<&str> = said.lines().filter(|line| line.contains("is skipped: ")).collect();
    let [sentence] = sentences.as_slice() else { bail!("{sentences:?}\n{said}") };
    println!("{sentence}");
    ensure!(
        sentence.contains("generation 00000001 is skipped: criu failed: Head magic doesn't match for fs-"),
        "{sentence}"
    );
    ensure!(!sentence.contains(" — "), "somebody knows it: {sentence}");
    let log = fs::read_to_string(volume.path().join("job-0/failed-restore.log"))?;
    let log: Vec<&str> = log.lines().collect();
    let told: Vec<&str> = said.lines().filter(|line| line.contains("step=\"criu\"")).collect();
    // Each time that CRIU has tried it; the log that is kept is the last one's.
    ensure!(!told.is_empty() && told.len().is_multiple_of(LINES_TOLD), "{told:#?}");
    for (told, line) in told[told.len() - LINES_TOLD..].iter().zip(&log[log.len() - LINES_TOLD..]) {
        ensure!(told.contains(line.trim()), "{told:?} is not {line:?}");
    }
    Ok(())
}

#[test]
fn a_missing_image_is_found() -> Result<()> {
    skipped_after(|generation| Ok(fs::remove_file(generation.join("criu/inventory.img"))?), "cannot be read")
}

#[test]
fn a_missing_manifest_is_found() -> Result<()> {
    skipped_after(
        |generation| Ok(fs::remove_file(generation.join("manifest.json"))?),
        "its manifest cannot be read",
    )
}

#[test]
fn a_manifest_of_a_later_release_is_told_from_damage() -> Result<()> {
    let later = |generation: &Path| Ok(fs::write(generation.join("manifest.json"), r#"{"version": 99}"#)?);
    skipped_after(later, "use the newer crik")
}

/// What another release has written, of a program and a machine of its own.
const GOLDEN: &str = "store/tests/golden/0.1.0/chunks";

#[test]
fn what_another_release_has_kept_of_another_program_stays_beside_a_fresh_start() -> Result<()> {
    let (volume, golden) = (Volume::new()?, workspace().join(GOLDEN));
    let theirs = volume.path().join("job-0");
    run("cp", &["--archive", &golden.to_string_lossy(), &theirs.to_string_lossy()])?;
    // The pod that has made them is gone.
    fs::remove_dir_all(theirs.join("holders"))?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let running = started(&pod)?;
    running.stderr.wait_for("generation 00000002 is skipped: ")?;
    starts_fresh(&running)?;
    let manifest = Path::new("generations/00000002/manifest.json");
    ensure!(fs::read(theirs.join(manifest))? == fs::read(golden.join(manifest))?, "it was altered");
    Ok(())
}

#[test]
fn the_ladder_goes_down_to_an_older_generation() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    let first = checkpointed(&pod)?;
    checkpointed(&pod)?;
    fs::remove_file(volume.newest("job-0")?.join("criu/inventory.img"))?;
    let running = started(&pod)?;
    running.stderr.wait_for("generation 00000002 is skipped")?;
    resumes(&running, 1)?;
    chain::verify(&[first, running.stdout.text()])?;
    Ok(())
}

#[test]
fn an_older_generation_is_resumed_when_the_newer_ones_pages_were_altered() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("keepGenerations: 1");
    let first = checkpointed(&pod)?;
    checkpointed(&pod)?;
    let path = pages(&volume.newest("job-0")?)?;
    let mut bytes = fs::read(&path)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes)?;
    // CRIU had restored all of the newer one when the hash was found to differ: its ids must be free again.
    let mut running = started(&pod)?;
    resumes(&running, 1)?;
    chain::verify(&[first.clone(), running.stdout.text()])?;
    // What works is not removed in favour of what does not.
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    let again = started(&pod)?;
    resumes(&again, 1)?;
    chain::verify(&[first, again.stdout.text()]).map(drop)
}

#[test]
fn a_file_goes_along_whatever_its_name_is() -> Result<()> {
    let volume = Volume::new()?;
    let script = "odd=$(printf '/srv/odd/\\377%%25'); mkdir -p /srv/odd; echo it > \"$odd\"; exec python3 /programs/single.py";
    let pod = Pod::new(&volume, "node-a", &["sh", "-c", script]).config("additionalPaths: [/srv/odd]");
    let before = checkpointed(&pod)?;
    let next = started(&pod)?;
    let (_, found, _) = next.exec(&["sh", "-c", "cat \"$(printf '/srv/odd/\\377%%25')\""])?;
    ensure!(found == "it\n", "{found:?}");
    chain::verify(&[before, next.stdout.text()]).map(drop)
}

#[test]
fn on_restore_failure_fail_leaves_the_decision_to_a_person() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("onRestoreFailure: fail");
    checkpointed(&pod)?;
    fs::remove_file(volume.newest("job-0")?.join("criu/inventory.img"))?;
    let mut running = pod.start()?;
    let code = running.wait()?;
    ensure!(code == 75, "exit code {code}\n{}", running.transcript());
    ensure!(running.stdout.text().is_empty());
    Ok(())
}

#[test]
fn another_command_line_is_not_resumed() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&Pod::new(&volume, "node-a", &SINGLE))?;
    let running = started(&Pod::new(&volume, "node-a", &["python3", "/programs/single.py", "--new"]))?;
    running.stderr.wait_for("it is of another command")?;
    starts_fresh(&running)
}
