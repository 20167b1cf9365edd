//! A program goes on that watches files and directories by inotify or fanotify: in the next container it is told of changes as in the
//! one before, although everything there has another inode. What cannot be watched again is named before anything is frozen.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, checkpointed, ends_with, resumes, started, stops_without_checkpoint};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

fn watcher(volume: &Volume, arguments: &[&str]) -> Pod {
    let command = [&["python3", "/programs/watcher.py"], arguments].concat();
    Pod::new(volume, "node-a", &command).config("claimExpiry: 1s")
}

/// Changes something in the container, and expects that the program is told of it.
fn is_told(running: &Running, change: &str, of: &str) -> Result<()> {
    let (code, _, said) = running.exec(&["sh", "-c", change])?;
    ensure!(code == Some(0), "{change}: {said}");
    running.stderr.wait_for(of).with_context(|| running.transcript())
}

/// Expects that the program is told of a file that is made in each of these directories.
fn watches(running: &Running, directories: &[&str], name: &str) -> Result<()> {
    directories.iter().try_for_each(|directory| {
        is_told(running, &format!("touch {directory}/{name}"), &format!("{directory} told of {name}."))
    })
}

#[test]
fn directories_everywhere_are_watched_over_four_pods() -> Result<()> {
    let volume = Volume::new()?;
    let directories = ["/srv/watched", "/checkpoints/watched", "/scratch/watched", "/scratch", "/tmp"];
    let arguments = [&directories[..], &["/config", "/config/app.yaml"]].concat();
    let pod = watcher(&volume, &arguments)
        .empty_dir("/scratch")
        .config_map("/config", &[("app.yaml", "a: 1"), ("other", "x")]);
    let mut outputs = Vec::new();
    for generation in 0..4 {
        let mut running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        watches(&running, &directories, &format!("made-{generation}"))?;
        if generation == 3 {
            running.update("/config", &[("app.yaml", "a: 2"), ("other", "x")])?;
            running.stderr.wait_for("/config told of ..data.")?;
        }
        ends_with(&mut running, CHECKPOINTED)?;
        outputs.push(running.stdout.text());
    }
    chain::verify(&outputs).map(drop)
}

#[test]
fn a_program_that_goes_on_after_its_checkpoint_watches_too() -> Result<()> {
    let volume = Volume::new()?;
    let pod = watcher(&volume, &["/srv/watched"]).config("interval: 1s");
    let mut running = started(&pod)?;
    running.stderr.wait_for("generation 00000002 is durable")?;
    watches(&running, &["/srv/watched"], "made")?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    let again = started(&pod)?;
    again.stderr.wait_for("restored generation")?;
    watches(&again, &["/srv/watched"], "again")?;
    chain::verify_repeated(&running.stdout.text(), &again.stdout.text()).map(drop)
}

#[test]
fn a_hundred_directories_are_watched() -> Result<()> {
    let volume = Volume::new()?;
    let pod = watcher(&volume, &["--each", "/srv/deep/down", "100"]);
    let first = checkpointed(&pod)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    for number in [0, 57, 99] {
        watches(&second, &[&format!("/srv/deep/down/{}/{number}", number % 10)], "made")?;
    }
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn marks_of_fanotify_are_set_again() -> Result<()> {
    let volume = Volume::new()?;
    let pod = watcher(&volume, &["--fanotify", "/srv/marked"]);
    let first = checkpointed(&pod)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    is_told(&second, "echo x > /srv/marked/file", "/srv/marked told by fanotify.")?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

/// Expects that there is no checkpoint, for these reasons, and that the program went on until its SIGTERM.
fn is_refused(pod: &Pod, volume: &Volume, reasons: &[&str]) -> Result<()> {
    let mut running = started(pod)?;
    running.stderr.wait_for("NOT PROTECTED: 1 reason: process ").with_context(|| running.transcript())?;
    let (code, doctor, _) = running.exec(&["crik", "doctor"])?;
    ensure!(code == Some(4) && reasons.iter().all(|reason| doctor.contains(reason)), "{doctor}");
    let (code, _, said) = running.exec(&["crik", "checkpoint"])?;
    ensure!(code != Some(0) && reasons.iter().all(|reason| said.contains(reason)), "{said}");
    running.wait_for_lines(running.stdout.text().lines().count() + 1)?;
    stops_without_checkpoint(&mut running, volume)
}

#[test]
fn a_watch_on_a_file_that_was_removed_is_told_with_its_process() -> Result<()> {
    let volume = Volume::new()?;
    let reasons = ["(python3) watches", "no path leads to any more", "at /checkpoints", "end its watch"];
    is_refused(&watcher(&volume, &["--gone"]), &volume, &reasons)
}

#[test]
fn what_stays_behind_and_is_watched_is_told_with_its_process() -> Result<()> {
    let volume = Volume::new()?;
    let pod = watcher(&volume, &["/srv/left"]).config("carry: {exclude: [/srv/left]}");
    let reasons = ["(python3) watches /srv/left", "next container would not have it", "additionalPaths"];
    is_refused(&pod, &volume, &reasons)
}
