//! The subcommands by which a person looks into an image directory, from any machine that sees the volume and in the pod.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use crik_tests::crik::{crik, json};
use crik_tests::pod::Pod;
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

/// The lines of a table as words.
fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn flip_a_bit(file: &Path) -> Result<()> {
    let mut bytes = fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(file, bytes)?)
}

/// All files below a directory with their contents' sizes and times: what a look must not change.
fn state(directory: &Path) -> Result<Vec<String>> {
    let listed = Command::new("find").arg(directory).args(["-printf", "%p %s %T@ %C@\n"]).output()?;
    Ok(String::from_utf8(listed.stdout)?.lines().map(str::to_owned).collect())
}

#[test]
fn the_list_says_what_the_next_start_does_with_each() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("keepGenerations: 9");
    ensure!(crik(&volume, &["list"])?.err.contains("there is no image directory"), "one that is not there");
    for _ in 0..2 {
        checkpointed(&pod)?;
    }
    let before = state(volume.path())?;
    let told = crik(&volume, &["list"])?;
    let table = words(&told.out);
    ensure!(table[0][..3] == ["last", "held", "by"] && table[1][0] == "GENERATION", "{}", told.out);
    ensure!((table[2][0], *table[2].last().context("empty")?) == ("2", "next"), "{}", told.out);
    ensure!((table[3][0], *table[3].last().context("empty")?) == ("1", "older"), "{}", told.out);
    let list = json(&volume, &["list"])?;
    let newest = &list["generations"][0];
    ensure!(newest["generation"] == 2 && newest["node"] == "node-b" && newest["processes"] == 2, "{list}");
    ensure!(newest["createdAt"].as_str().is_some_and(|time| time.ends_with('Z')), "{list}");
    ensure!(list["holder"]["released"] == true && list["generations"][1]["attempts"] == 1, "{list}");
    ensure!(state(volume.path())? == before, "a look changed the volume");

    fs::write(volume.path().join("job-0/generations/00000002/manifest.json"), "{")?;
    fs::write(volume.path().join("job-0/ended.json"), r#"{"newest": 1, "why": "exit status 0"}"#)?;
    let list = json(&volume, &["list"])?;
    ensure!(
        list["generations"][0]["state"].as_str().is_some_and(|state| state.starts_with("damaged: ")),
        "{list}"
    );
    ensure!(list["generations"][1]["state"] == "ended" && list["ended"]["why"] == "exit status 0", "{list}");
    Ok(())
}

#[test]
fn the_list_says_why_a_checkpoint_could_not_be_resumed() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    checkpointed(&pod)?;
    let next = started(&pod.config("hooks: {postRestore: {command: [/bin/false], onFailure: fail}}"))?;
    next.stderr.wait_for("resuming generation 00000001: ")?;
    next.stderr.wait_for("the application starts fresh")?;
    let list = json(&volume, &["list"])?;
    let state = list["generations"][0]["state"].as_str().context("no state")?;
    ensure!(state.starts_with("next; failed the last time: ") && state.contains("postRestore"), "{list}");
    Ok(())
}

#[test]
fn a_checkpoint_can_be_looked_into() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/showcase.py", "/checkpoints/open-file"]);
    let mut running = started(&pod)?;
    // Also in the pod, where the configuration says where to look.
    let (code, out, err) = running.exec(&["crik", "list"])?;
    ensure!(code == Some(0) && out.contains(&format!("held by {}", running.place())), "{out}{err}");
    ends_with(&mut running, CHECKPOINTED)?;

    let told = crik(&volume, &["inspect", "newest"])?;
    for part in [
        "program    python3 /programs/showcase.py",
        "it was never resumed",
        "  init-",
        "    python3",
        "      sleep",
        "file  /checkpoints/open-file",
        "tcp   127.0.0.1:4711 listening",
        "unix  @crik-showcase listening",
    ] {
        ensure!(told.out.contains(part), "{part:?} is not in\n{}{}", told.out, told.err);
    }
    let inspection = json(&volume, &["inspect", "1"])?;
    let processes = inspection["processes"].as_array().context("no processes")?;
    let python = processes.iter().find(|process| process["name"] == "python3").context("no python3")?;
    ensure!(python["threads"] == 3, "{python}");
    ensure!(python["memory"].as_u64().is_some_and(|bytes| bytes > 20 << 20), "{python}");
    let sleep = processes.iter().find(|process| process["name"] == "sleep").context("no sleep")?;
    ensure!(sleep["parent"] == python["pid"], "{sleep}");

    let next = started(&pod)?;
    resumes(&next, 1)?;
    ensure!(json(&volume, &["inspect", "1"])?["attempts"][0]["outcome"] == "resumed");
    let missing = crik(&volume, &["inspect", "7"])?;
    ensure!(missing.code == Some(1) && missing.err.contains("there is no checkpoint 7; see crik list"));
    Ok(())
}

#[test]
fn what_was_altered_is_found() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE);
    checkpointed(&pod)?;
    checkpointed(&pod)?;
    let told = crik(&volume, &["verify"])?;
    ensure!(told.code == Some(0) && told.out.matches("whole").count() == 2, "{}{}", told.out, told.err);
    flip_a_bit(&volume.newest("job-0")?.join("criu/pages-1.img"))?;
    let told = crik(&volume, &["verify"])?;
    ensure!(
        told.code == Some(1) && told.out.contains("criu/pages-1.img was altered"),
        "{}{}",
        told.out,
        told.err
    );
    ensure!(crik(&volume, &["verify", "1"])?.code == Some(0));
    let rows = json(&volume, &["verify"])?;
    ensure!(rows[0]["whole"] == false && rows[1]["whole"] == true, "{rows}");
    Ok(())
}

#[test]
fn what_is_superfluous_is_removed_and_nothing_else() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("keepGenerations: 9");
    for _ in 0..3 {
        checkpointed(&pod)?;
    }
    let running = started(&pod)?;
    let held = crik(&volume, &["gc", "--keep", "1"])?;
    ensure!(
        held.code == Some(75) && held.err.contains(&format!("is held by {}", running.place())),
        "{}{}",
        held.out,
        held.err
    );
    running.signal(Signal::SIGKILL)?;
    drop(running);
    let left = volume.generations("job-0").len();
    // A container that was killed has given nothing back, and only its own pod knows that it is gone.
    let mut last = started(&pod)?;
    ends_with(&mut last, CHECKPOINTED)?;

    let planned = json(&volume, &["gc", "--keep", "1", "--dry-run"])?;
    ensure!(planned["dryRun"] == true && volume.generations("job-0").len() > left, "{planned}");
    let done = json(&volume, &["gc", "--keep", "1"])?;
    ensure!(done["removed"] == planned["removed"], "{done} {planned}");
    // The newest, and the newest of which it is known that it works.
    let kept: Vec<_> = volume
        .generations("job-0")
        .iter()
        .filter_map(|path| path.file_name().map(ToOwned::to_owned))
        .collect();
    ensure!(kept == ["00000003", "00000004"], "{kept:?}");
    ensure!(crik(&volume, &["gc"])?.out == "nothing is superfluous\n");
    let next = started(&pod)?;
    next.stderr.wait_for("restored generation")
}

/// What a start would pass over is no reason to remove what it would resume.
#[test]
fn the_only_checkpoint_that_works_is_not_superfluous() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("keepGenerations: 9");
    let mut running = started(&pod)?;
    for _ in 0..3 {
        let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
        ensure!(code == Some(0), "{said}");
    }
    // A SIGTERM would make another one.
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    for damaged in &volume.generations("job-0")[1..] {
        flip_a_bit(&damaged.join("criu/pages-1.img"))?;
    }
    let done = json(&volume, &["gc", "--keep", "1", "--dry-run"])?;
    ensure!(done["removed"] == serde_json::json!([]), "{done}");
    let next = started(&pod)?;
    resumes(&next, 1)
}

#[test]
fn a_place_that_is_none_is_said() -> Result<()> {
    let volume = Volume::new()?;
    fs::create_dir(volume.path().join("job-0"))?;
    for args in [&["list"][..], &["verify"], &["gc"], &["inspect", "newest"]] {
        let told = crik(&volume, args)?;
        ensure!(told.code == Some(1) && told.err.contains("is no image directory of crik"), "{}", told.err);
    }
    ensure!(fs::read_dir(volume.path().join("job-0"))?.count() == 0, "a look made something");
    Ok(())
}
