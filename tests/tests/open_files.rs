//! Files that a program has open when it is frozen, and that are others when it goes on: output that has grown since, files
//! that it reads, and files that have lost their name.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use crik_store::base::fault_points::VARIABLE;
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{
    CHECKPOINTED, STEPS, checkpointed, ends_with, resumes, started, starts_fresh, stops_in_order,
};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

/// So that the next pod need not wait long for one that vanished.
const SHORT_EXPIRY: &str = "claimExpiry: 1s";

/// A pod whose program writes its steps to `out` on the volume, opened in this mode.
fn writes(volume: &Volume, mode: &str) -> Pod {
    let command = ["python3", "/programs/output.py", mode, "/checkpoints/out"];
    Pod::new(volume, "node-a", &command).config(SHORT_EXPIRY)
}

/// Lets the program make some steps more, and then its node vanish.
fn vanishes(mut running: Running) -> Result<String> {
    running.wait_for_lines(running.stdout.text().lines().count() + STEPS)?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    Ok(running.stdout.text())
}

/// What was cut from files when `generation` was resumed.
fn kept(volume: &Volume, generation: u64) -> Vec<PathBuf> {
    let directory = volume.path().join(format!("job-0/cut/{generation:08}"));
    let mut kept: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    kept.sort();
    kept
}

#[test]
fn output_that_has_grown_since_is_written_again_as_often_as_it_is_resumed() -> Result<()> {
    for mode in ["w", "a", "r+"] {
        let volume = Volume::new()?;
        let pod = writes(&volume, mode);
        let first = checkpointed(&pod)?;
        for cut in 0..3 {
            let next = started(&pod.replacement())?;
            resumes(&next, 1)?;
            ensure!(kept(&volume, 1).len() == cut, "{mode}: {:?}\n{}", kept(&volume, 1), next.transcript());
            chain::verify(&[first.clone(), vanishes(next)?])?;
        }
        let lines = fs::read_to_string(kept(&volume, 1).first().context("nothing is kept")?)?;
        ensure!(lines.lines().count() >= STEPS, "what was cut is kept: {lines}");
    }
    Ok(())
}

#[test]
fn output_that_has_grown_since_a_periodic_checkpoint_is_written_again() -> Result<()> {
    for mode in ["w", "a", "r+"] {
        let volume = Volume::new()?;
        let pod = writes(&volume, mode).config("interval: 1s");
        let first = started(&pod)?;
        first.stderr.wait_for("generation 00000001 is durable")?;
        let first = vanishes(first)?;
        let mut second = started(&pod.replacement())?;
        second.stderr.wait_for("restored generation ")?;
        chain::verify_repeated(&first, &second.stdout.text())?;
        ends_with(&mut second, CHECKPOINTED)?;
    }
    Ok(())
}

#[test]
fn what_was_cut_lives_as_long_as_the_checkpoint() -> Result<()> {
    let volume = Volume::new()?;
    let pod = writes(&volume, "w").config("keepGenerations: 1");
    checkpointed(&pod)?;
    vanishes(started(&pod)?)?;
    ends_with(&mut started(&pod)?, CHECKPOINTED)?;
    ensure!(kept(&volume, 1).len() == 1);
    ends_with(&mut started(&pod)?, CHECKPOINTED)?;
    let left = volume.generations("job-0");
    ensure!(kept(&volume, 1).is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn what_others_have_appended_stays() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/files.py", "/checkpoints/work"]);
    let first = checkpointed(&pod)?;
    OpenOptions::new().append(true).open(volume.path().join("work/log"))?.write_all(b"of another\n")?;
    let second = started(&pod.replacement())?;
    resumes(&second, 1)?;
    ensure!(fs::read_to_string(volume.path().join("work/log"))?.contains("\nof another\n"));
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn a_log_that_was_rotated_is_written_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/files.py", "/checkpoints/work"]);
    let first = checkpointed(&pod)?;
    let (log, rotated) = (volume.path().join("work/log"), volume.path().join("work/log.1"));
    fs::rename(&log, &rotated)?;
    fs::write(&log, "")?;
    let before = fs::read(&rotated)?;
    let second = started(&pod.replacement())?;
    resumes(&second, 1)?;
    ensure!(fs::read_to_string(&log)?.lines().count() >= STEPS && fs::read(&rotated)? == before);
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn a_rung_that_fails_puts_back_what_it_has_cut() -> Result<()> {
    let volume = Volume::new()?;
    let pod = writes(&volume, "w");
    checkpointed(&pod)?;
    vanishes(started(&pod)?)?;
    let before = fs::read(volume.path().join("out"))?;
    let refusing = pod
        .config("hooks: {postRestore: {command: [/bin/false], onFailure: fail}}")
        .config("onRestoreFailure: fail");
    let mut refused = refusing.start()?;
    refused.wait()?;
    ensure!(refused.stderr.text().contains("has again what was cut from it"), "{}", refused.transcript());
    ensure!(fs::read(volume.path().join("out"))? == before && kept(&volume, 1).is_empty());
    Ok(())
}

#[test]
fn an_agent_that_dies_after_it_has_cut_leaves_what_the_next_one_goes_on_from() -> Result<()> {
    let volume = Volume::new()?;
    let pod = writes(&volume, "w");
    let first = checkpointed(&pod)?;
    vanishes(started(&pod)?)?;
    let binary = cargo_bin("crik-agent", "crik", &["fault-points"])?;
    let dying = pod.replacement().binary(&binary).with(|spec| spec.env(VARIABLE, "FilesCut"));
    ensure!(dying.start()?.wait()? == 128 + 9);
    ensure!(kept(&volume, 1).len() == 1);
    let next = started(&pod.replacement())?;
    resumes(&next, 1)?;
    chain::verify(&[first, next.stdout.text()]).map(drop)
}

#[test]
fn a_file_that_is_gone_or_shorter_is_named_before_criu_is_called() -> Result<()> {
    for (change, told) in [
        (fs::remove_file as fn(PathBuf) -> _, "/checkpoints/out, which the program had open, is not there"),
        (|path| fs::write(path, ""), "/checkpoints/out has 0 bytes, and "),
    ] {
        let volume = Volume::new()?;
        let pod = writes(&volume, "w");
        checkpointed(&pod)?;
        change(volume.path().join("out"))?;
        let next = pod.replacement().start()?;
        next.stderr.wait_for(told)?;
        starts_fresh(&next)?;
        ensure!(!next.stderr.text().contains("criu failed"), "{}", next.transcript());
    }
    Ok(())
}

#[test]
fn modes_that_a_kubelet_changes_do_not_matter() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let volume = Volume::new()?;
    let pod = writes(&volume, "a");
    let first = checkpointed(&pod)?;
    fs::set_permissions(volume.path().join("out"), fs::Permissions::from_mode(0o664))?;
    let second = started(&pod.replacement())?;
    resumes(&second, 1)?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

/// A pod whose program has files open on the volume that have lost their name.
fn unnamed(volume: &Volume) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/unnamed.py", "/checkpoints/work"]).config(SHORT_EXPIRY)
}

/// What lies in the program's directory.
fn names(volume: &Volume) -> Result<Vec<String>> {
    let entries = fs::read_dir(volume.path().join("work"))?;
    let mut names: Vec<String> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

#[test]
fn files_that_have_lost_their_name_are_resumed_as_often_as_one_likes() -> Result<()> {
    let volume = Volume::new()?;
    let pod = unnamed(&volume);
    let first = checkpointed(&pod)?;
    ensure!(names(&volume)? == ["a", "b", "n", "y"], "{:?}", names(&volume)?);
    for _ in 0..3 {
        let next = started(&pod.replacement())?;
        resumes(&next, 1)?;
        ensure!(names(&volume)? == ["a", "b", "n", "y"], "{:?}", names(&volume)?);
        chain::verify(&[first.clone(), vanishes(next)?])?;
    }
    Ok(())
}

#[test]
fn files_that_have_lost_their_name_move_on_and_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = unnamed(&volume);
    let mut outputs = Vec::new();
    for _ in 0..4 {
        outputs.push(checkpointed(&pod.replacement())?);
    }
    chain::verify(&outputs)?;
    let newest = Volume::manifest(&volume.newest("job-0")?)?;
    let names = newest["unnamedFiles"].as_array().context("no unnamed files")?;
    let shown: Vec<&str> = names.iter().filter_map(|file| file["name"].as_str()).collect();
    ensure!(shown.iter().all(|name| name.matches("(deleted)").count() == 1), "{shown:?}");
    Ok(())
}

#[test]
fn files_that_have_lost_their_name_are_in_periodic_checkpoints_too() -> Result<()> {
    let volume = Volume::new()?;
    let pod = unnamed(&volume).config("interval: 1s");
    let first = started(&pod)?;
    first.stderr.wait_for("generation 00000002 is durable")?;
    let first = vanishes(first)?;
    let second = started(&pod.replacement())?;
    second.stderr.wait_for("restored generation ")?;
    second.stderr.wait_for(" is durable")?;
    chain::verify_repeated(&first, &second.stdout.text()).map(drop)
}

#[test]
fn a_program_that_begins_anew_beside_what_is_left_can_be_checkpointed() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&unnamed(&volume))?;
    let command = ["python3", "/programs/unnamed.py", "/checkpoints/work/other"];
    let anew = Pod::new(&volume, "node-a", &command);
    ends_with(&mut started(&anew)?, CHECKPOINTED)?;
    let next = started(&anew.replacement())?;
    resumes(&next, 2)
}

#[test]
fn what_the_next_container_would_not_have_is_refused_before_the_program_is_killed() -> Result<()> {
    let volume = Volume::new()?;
    // Of the node, and no emptyDir: it is not empty for all to write to.
    let memory = serde_json::json!({
        "type": "tmpfs", "source": "tmpfs", "destination": "/of-the-node", "options": ["mode=755", "size=1m"]
    });
    for way in ["open", "mapped", "working", "listening"] {
        let command = ["python3", "/programs/elsewhere.py", "/of-the-node/held", way];
        let pod = Pod::new(&volume, "node-a", &command).with(|spec| spec.mounts.push(memory.clone()));
        let mut running = started(&pod)?;
        stops_in_order(&mut running, 0).context(way)?;
        let told = "the program has /of-the-node/held open, and the next container would not have it";
        ensure!(running.stderr.text().contains(told), "{way}\n{}", running.transcript());
        ensure!(volume.generations("job-0").is_empty(), "{way}");
    }
    // On a volume it goes on.
    let pod =
        Pod::new(&volume, "node-a", &["python3", "/programs/elsewhere.py", "/checkpoints/held", "open"]);
    ends_with(&mut started(&pod)?, CHECKPOINTED)
}

#[test]
fn a_file_that_is_only_read_may_grow_where_the_user_lets_it() -> Result<()> {
    let volume = Volume::new()?;
    fs::write(volume.path().join("data"), "some\n")?;
    let script = "exec 7< /checkpoints/data; exec python3 /programs/single.py";
    let pod = Pod::new(&volume, "node-a", &["sh", "-c", script]);
    let first = checkpointed(&pod)?;
    fs::write(volume.path().join("data"), "some more\n")?;
    let mut refused = pod.replacement().config("changedFiles: refuse\nonRestoreFailure: fail").start()?;
    refused.stderr.wait_for("/checkpoints/data, which the program had open to read, was changed since")?;
    // It gives the image directory back first.
    refused.wait()?;
    let next = started(&pod.replacement())?;
    resumes(&next, 1)?;
    ensure!(
        next.stderr.text().contains("/checkpoints/data is longer than at the checkpoint"),
        "{}",
        next.transcript()
    );
    chain::verify(&[first, next.stdout.text()]).map(drop)
}

#[test]
fn locks_of_records_are_held_on_also_of_a_file_that_is_mapped() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/locked.py", "/checkpoints"]);
    let outputs = (0..3).map(|_| checkpointed(&pod.replacement())).collect::<Result<Vec<_>>>()?;
    chain::verify(&outputs).map(drop)
}

#[test]
fn a_lock_that_somebody_else_has_taken_since_is_named_at_once() -> Result<()> {
    for name in ["mapped", "open", "whole"] {
        let volume = Volume::new()?;
        let pod = Pod::new(&volume, "node-a", &["python3", "/programs/locked.py", "/checkpoints"]);
        checkpointed(&pod)?;
        let file = fs::File::options().write(true).open(volume.path().join(name))?;
        let _taken = taken(file, name == "whole")?;
        let mut next = pod.replacement().config("onRestoreFailure: fail").start()?;
        let told = format!("had locked /checkpoints/{name}, and cannot any more: somebody else has");
        next.stderr.wait_for(&told).with_context(|| next.state())?;
        // It gives the image directory back first.
        next.wait()?;
        ensure!(volume.generations("job-0").len() == 1, "{}", next.transcript());
    }
    Ok(())
}

/// A lock of the whole file, either of flock(2) or of fcntl(2).
fn taken(file: fs::File, whole: bool) -> Result<fs::File> {
    if whole {
        file.lock()?;
    } else {
        let all = libc::flock { l_type: libc::F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&all))?;
    }
    Ok(file)
}
