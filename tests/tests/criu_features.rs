//! What CRIU has learned of the kernel is kept for the next call of it in this container, wherever the container may write, and never comes
//! from another kernel; and what the kernel lacks is told.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, ends_with, resumes, started};
use crik_tests::volume::Volume;

/// What CRIU says when it has not to learn it anew, before the path.
const LOADED: &str = "Loaded kdat cache from ";

/// Takes a checkpoint, and returns from where CRIU knew the kernel, if it did.
fn known_from(running: &Running, volume: &Volume) -> Result<Option<String>> {
    let (code, out, err) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{out}{err}\n{}", running.transcript());
    let newest = volume.generations("job-0").pop().context("no generation")?;
    let log = fs::read_to_string(newest.join("criu/dump.log"))?;
    Ok(log.lines().find_map(|line| Some(line.split_once(LOADED)?.1.to_owned())))
}

/// It is known by then, and from `place`.
fn is_known(running: &Running, volume: &Volume, place: &str) -> Result<String> {
    known_from(running, volume)?;
    let from = known_from(running, volume)?.context("CRIU has learned everything anew")?;
    ensure!(from.starts_with(&format!("{place}/crik-features-")), "{from}");
    Ok(from)
}

/// The directories that crik has made for it, wherever.
fn places(running: &Running) -> Result<Vec<String>> {
    let (_, out, _) =
        running.exec(&["sh", "-c", "ls -d /dev/crik-features-* /dev/shm/crik-features-* 2>/dev/null"])?;
    Ok(out.lines().map(str::to_owned).collect())
}

#[test]
fn it_is_learned_once_and_never_taken_from_elsewhere() -> Result<()> {
    let volume = Volume::new()?;
    let foreign = "/checkpoints/foreign";
    let pod = Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.env("XDG_RUNTIME_DIR", foreign));
    fs::create_dir(volume.path().join("foreign"))?;
    let running = started(&pod)?;
    let from = is_known(&running, &volume, "/dev")?;
    // As another kernel would have left it: CRIU believes what it has written itself.
    let (code, _, err) = running.exec(&["cp", &from, "/checkpoints/foreign/criu.kdat"])?;
    ensure!(code == Some(0), "{err}");
    is_known(&running, &volume, "/dev")?;
    // By itself it would have taken that, and the application still has its variable.
    let (_, by_itself, _) = running.exec(&[
        "sh",
        "-c",
        "criu check --unprivileged -v4 --log-file /dev/stdout --feature mnt_id; :",
    ])?;
    ensure!(by_itself.contains(&format!("{LOADED}{foreign}")), "{by_itself}");
    Ok(())
}

#[test]
fn it_is_not_carried_to_another_kernel() -> Result<()> {
    let volume = Volume::new()?;
    // To an ordinary user there is only what goes along with a checkpoint.
    let pod = Pod::new(&volume, "node-a", &SINGLE).ordinary_user(1000)?;
    let mut first = started(&pod)?;
    is_known(&first, &volume, "/dev/shm")?;
    let before = places(&first)?;
    let (code, _, err) = first.exec(&["touch", "/dev/shm/carried"])?;
    ensure!(code == Some(0), "{err}");
    ends_with(&mut first, CHECKPOINTED)?;
    let second = started(&pod)?;
    resumes(&second, 3)?;
    let after = places(&second)?;
    ensure!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
    let (code, ..) = second.exec(&["test", "-e", "/dev/shm/carried"])?;
    ensure!(code == Some(0), "what else lay there was to go along");
    chain::verify(&[first.stdout.text(), second.stdout.text()]).map(drop)
}

#[test]
fn a_read_only_root_needs_no_place_for_it() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).empty_dir("/run/crik").with(|spec| {
        spec.read_only = true;
        spec.env("XDG_RUNTIME_DIR", "/nowhere");
    });
    let running = started(&pod)?;
    is_known(&running, &volume, "/dev").map(drop)
}

#[test]
fn the_doctor_tells_what_the_kernel_has_for_criu() -> Result<()> {
    let volume = Volume::new()?;
    let running = started(&Pod::new(&volume, "node-a", &SINGLE))?;
    let (_, out, err) = running.exec(&["crik", "doctor"])?;
    let line = out
        .lines()
        .find(|line| line.starts_with("criu's features"))
        .with_context(|| format!("{out}{err}"))?;
    println!("{line}");
    ensure!(line.ends_with("all 13 that matter"), "{line}");
    // Only a CRIU that calls for one is one.
    let (code, out, err) = running.exec(&["crik", "check", "--feature", "mnt_id"])?;
    ensure!(code == Some(2) && err.contains("unrecognized subcommand"), "{code:?} {out}{err}");
    Ok(())
}
