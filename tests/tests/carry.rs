//! What a program has made of its container goes over with it, and is put back as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::command::run;
use crik_tests::faulty::Op;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::bind;
use crik_tests::story::{
    CHECKPOINTED, SINGLE, STEPS, checkpointed, ends_with, resumes, started, starts_fresh, stops_in_order,
};
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// A program of `programs/carried.py`, over three containers on as many nodes.
fn goes_on(program: &str) -> Result<String> {
    let volume = Volume::new()?;
    let pod =
        Pod::new(&volume, "node-a", &["python3", "/programs/carried.py", program]).empty_dir("/scratch");
    let outputs: Vec<String> = (0..3).map(|_| checkpointed(&pod)).collect::<Result<_>>()?;
    Ok(format!("{} steps", chain::verify(&outputs)?))
}

#[test]
fn a_program_goes_on_whatever_files_its_container_had() -> Result<()> {
    let mut table = Table::new("files that only one container has");
    for program in ["jvm", "manager", "log", "shm", "temporary", "semaphore", "closed", "empty_dir"] {
        table.case(program, || goes_on(program));
    }
    table.finish()
}

const MADE: [&str; 2] = ["python3", "/programs/made.py"];

fn made(volume: &Volume) -> Pod {
    Pod::new(volume, "node-a", &MADE).empty_dir("/scratch").memory_dir("/memory")
}

#[test]
fn everything_that_can_be_in_a_file_system_comes_back_as_it_was() -> Result<()> {
    let volume = Volume::new()?;
    let pod = made(&volume);
    let outputs: Vec<String> = (0..3).map(|_| checkpointed(&pod)).collect::<Result<_>>()?;
    chain::verify(&outputs).map(drop)
}

#[test]
fn a_container_that_is_restarted_in_its_pod_gets_what_it_had() -> Result<()> {
    let volume = Volume::new()?;
    let pod =
        Pod::new(&volume, "node-a", &["python3", "/programs/carried.py", "journal"]).empty_dir("/scratch");
    let mut running = started(&pod)?;
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{said}");
    let before = running.stdout.text();
    running.wait_for_lines(before.lines().count() + STEPS)?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    let again = started(&pod)?;
    resumes(&again, 1)?;
    again.stderr.wait_for("were not there at the checkpoint and are removed")?;
    chain::verify_repeated(&running.stdout.text(), &again.stdout.text()).map(drop)
}

#[test]
fn a_generation_that_is_not_resumed_after_all_leaves_nothing_of_itself() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&made(&volume))?;
    let refusing = made(&volume).config("hooks: {postRestore: {command: ['false'], onFailure: fail}}");
    // The program itself looks whether anything is left of another life.
    let next = started(&refusing)?;
    next.stderr.wait_for("are put back")?;
    starts_fresh(&next)
}

#[test]
fn a_fresh_start_in_the_same_pod_finds_what_was_there_before_the_attempt() -> Result<()> {
    let volume = Volume::new()?;
    let look = "for d in /scratch /dev/shm; do test -e $d/state && echo found $(cat $d/state $d/new); done; \
                for d in /scratch /dev/shm; do echo one > $d/state; done; exec \"$@\"";
    let refuses =
        "hooks: {postRestore: {command: [sh, -c, '! test -e /checkpoints/refuse'], onFailure: fail}}";
    let command = [&["sh", "-c", look, "sh"][..], &SINGLE].concat();
    let pod = Pod::new(&volume, "node-a", &command).empty_dir("/scratch").config(refuses);
    let mut running = started(&pod)?;
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{said}");
    let go_on = "for d in /scratch /dev/shm; do echo two > $d/state; echo later > $d/new; done";
    ensure!(running.exec(&["sh", "-c", go_on])?.0 == Some(0));
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    fs::write(volume.path().join("refuse"), "")?;
    let again = started(&pod)?;
    again.stderr.wait_for("were not there at the checkpoint and are removed")?;
    starts_fresh(&again)?;
    ensure!(again.stdout.text().starts_with("found two later\nfound two later\n"), "{}", again.transcript());
    let (_, left, _) = again.exec(&["sh", "-c", "find / -xdev -name '.crik-aside*'; ls -A /scratch"])?;
    ensure!(left == "new\nstate\n", "{left}");
    Ok(())
}

/// Changes files while the checkpoint is between the look at them and the freeze. Returns whether the look was enough to know
/// what has changed.
fn changed_meanwhile(change: &str) -> Result<bool> {
    let volume = Volume::new()?.faulty_copy()?;
    let command = ["python3", "/programs/between.py", change];
    let pod = Pod::new(&volume.volume, "node-a", &command)
        .with(|spec| spec.command(&["crik", "run", "--debug", "--"], &command));
    let mut running = started(&pod)?;
    // The checks of the start ask for room too.
    running.stderr.wait_for(" protected: checkpoints can be taken").with_context(|| running.transcript())?;
    // To ask for room is the next step after the look.
    volume.faulty.faults.hang_at(Op::StatFs);
    running.signal(Signal::SIGTERM)?;
    wait_for("the look to be over", || volume.faulty.faults.hang().then_some(()))?;
    let change = "touch /dev/shm/change; while ! test -e /dev/shm/changed; do sleep 0.01; done";
    let (code, _, said) = running.exec(&["sh", "-c", change])?;
    ensure!(code == Some(0), "{said}\n{}", running.transcript());
    volume.faulty.faults.clear();
    ensure!(running.wait()? == CHECKPOINTED, "{}", running.transcript());
    chain::verify(&[running.stdout.text(), checkpointed(&pod)?])?;
    Ok(!running.stderr.text().contains("are looked at while the program stands still"))
}

#[test]
fn what_changes_between_the_look_at_the_files_and_the_freeze_goes_along() -> Result<()> {
    ensure!(changed_meanwhile("most")?, "everything had to be looked at again");
    // A file of the image got another name, and nobody knows the first one.
    ensure!(!changed_meanwhile("link")?, "what cannot be known was not looked for");
    Ok(())
}

#[test]
fn what_is_excluded_stays_behind_and_is_left_alone() -> Result<()> {
    let volume = Volume::new()?;
    let make = "mkdir -p /srv/cache/a; echo 1 > /srv/cache/a/b; echo 2 > /srv/kept; echo 3 > /scratch/x.tmp; exec \"$@\"";
    let command = [&["sh", "-c", make, "sh"][..], &SINGLE].concat();
    let pod = Pod::new(&volume, "node-a", &command)
        .empty_dir("/scratch")
        .config("carry: {exclude: [/srv/cache/**, '**/*.tmp']}");
    let before = checkpointed(&pod)?;
    let next = started(&pod)?;
    let (_, found, _) = next.exec(&["sh", "-c", "cd /srv; find cache kept /scratch"])?;
    ensure!(found == "cache\nkept\n/scratch\n", "{found}");
    chain::verify(&[before, next.stdout.text()]).map(drop)
}

#[test]
fn more_than_may_go_along_is_refused_while_the_program_runs() -> Result<()> {
    let volume = Volume::new()?;
    let make =
        "mkdir -p /srv/big; for n in 1 2 3; do head -c 1000000 /dev/zero > /srv/big/$n; done; exec \"$@\"";
    let command = [&["sh", "-c", make, "sh"][..], &SINGLE].concat();
    let pod = Pod::new(&volume, "node-a", &command).config("carry: {maxBytes: 2MB}");
    let mut running = started(&pod)?;
    stops_in_order(&mut running, 0)?;
    for part in ["carry.maxBytes is 2.0 MB", "the largest are /srv/big/1 (1.0 MB), ", "carry.exclude"] {
        running.stderr.wait_for(part).with_context(|| running.transcript())?;
    }
    ensure!(volume.generations("job-0").is_empty());
    Ok(())
}

#[test]
fn what_has_become_too_much_to_go_along_is_told_before_a_stop() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("carry: {maxBytes: 2MB}");
    let running = started(&pod)?;
    running.stderr.wait_for(" protected: checkpoints can be taken").with_context(|| running.transcript())?;
    running.exec(&["sh", "-c", "head -c 3000000 /dev/zero > /srv/grown"])?;
    running.stderr.wait_for("NOT PROTECTED: 1 reason: ").with_context(|| running.transcript())?;
    running.stderr.wait_for("carry.maxBytes is 2.0 MB; the largest are /srv/grown (3.0 MB)")?;
    running.exec(&["rm", "/srv/grown"])?;
    let (code, said, _) = running.exec(&["crik", "doctor"])?;
    ensure!(code == Some(0) || !said.contains("carry.maxBytes"), "{said}");
    Ok(())
}

#[test]
fn a_program_can_be_resumed_without_what_it_is_told_to_leave() -> Result<()> {
    let volume = Volume::new()?;
    let command =
        ["sh", "-c", "echo 1 > /srv/x; echo 2 > /dev/shm/x; echo 3 > /scratch/x; exec \"$@\"", "sh"];
    let pod = Pod::new(&volume, "node-a", &[&command[..], &SINGLE].concat())
        .empty_dir("/scratch")
        .config("carry: {layer: false, memory: false, emptyDirs: false}");
    let before = checkpointed(&pod)?;
    let next = started(&pod)?;
    let (_, found, _) = next.exec(&["sh", "-c", "ls /srv /dev/shm /scratch | grep x"])?;
    ensure!(found.is_empty(), "{found}");
    chain::verify(&[before, next.stdout.text()]).map(drop)
}

#[test]
fn a_device_node_is_made_again_where_that_is_allowed_and_told_where_it_is_not() -> Result<()> {
    let volume = Volume::new()?;
    let make = "test -e /srv/node || mknod /srv/node c 1 3; exec \"$@\"";
    let command = [&["sh", "-c", make, "sh"][..], &SINGLE].concat();
    let with = Pod::new(&volume, "node-a", &command);
    let shown = |running: &Running| running.exec(&["sh", "-c", "stat -c %F-%t-%T /srv/node 2>&1"]);
    let first = checkpointed(&with)?;
    let mut second = started(&with)?;
    ensure!(shown(&second)?.1.trim() == "character special file-1-3", "{:?}", shown(&second)?);
    ensure!(second.stop()? == CHECKPOINTED, "{}", second.transcript());
    chain::verify(&[first, second.stdout.text()])?;

    // Where it is not allowed nobody but the machine has made one.
    let volume = Volume::new()?;
    let pod =
        Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.capabilities.retain(|one| one != "CAP_MKNOD"));
    let mut first = started(&pod)?;
    let agent = first.processes().into_iter().find(|process| process.pid == 1).context("no agent")?;
    run("mknod", &[&format!("/proc/{}/root/srv/node", agent.host_pid), "c", "1", "3"])?;
    ends_with(&mut first, CHECKPOINTED)?;
    let next = started(&pod)?;
    resumes(&next, 1)?;
    next.stderr.wait_for("/srv/node is a device node and is not there any more")
}

#[test]
fn a_part_of_a_file_system_in_memory_stays_behind_is_told_and_goes_along_where_it_is_named() -> Result<()> {
    const TOLD: &str = "what is in /cache, a part of a file system in memory";
    let volume = Volume::new()?;
    let make = "test -e /cache/closed || echo kept > /cache/closed; exec \"$@\"";
    let command = [&["sh", "-c", make, "sh"][..], &SINGLE].concat();
    let pod = Pod::new(&volume, "node-a", &command);
    let memory = [Volume::of_size(8)?, Volume::of_size(8)?, Volume::of_size(8)?];
    let pods = memory.iter().map(|memory| {
        let part = memory.path().join("part");
        fs::create_dir(&part)?;
        fs::set_permissions(&part, Permissions::from_mode(0o777))?;
        Ok(pod.replacement().with(|spec| spec.mounts.push(bind(&part, "/cache", "rw"))))
    });
    let pods: Vec<Pod> = pods.collect::<Result<_>>()?;
    let mut first = started(&pods[0])?;
    first.stderr.wait_for(TOLD)?;
    ends_with(&mut first, CHECKPOINTED)?;
    let named = |pod: &Pod| pod.replacement().config("additionalPaths: [/cache]");
    let mut second = started(&named(&pods[1]))?;
    resumes(&second, 1)?;
    let (code, ..) = second.exec(&["sh", "-c", "! test -e /cache/closed && echo kept > /cache/closed"])?;
    ensure!(code == Some(0), "something went along");
    ends_with(&mut second, CHECKPOINTED)?;
    ensure!(!second.stderr.text().contains(TOLD), "{}", second.transcript());
    let third = started(&named(&pods[2]))?;
    resumes(&third, 2)?;
    let (_, found, said) = third.exec(&["cat", "/cache/closed"])?;
    ensure!(found == "kept\n", "{found}{said}");
    chain::verify(&[first.stdout.text(), second.stdout.text(), third.stdout.text()]).map(drop)
}

#[test]
fn a_changed_file_that_the_next_image_does_not_have_is_put_back_and_told() -> Result<()> {
    let volume = Volume::new()?;
    let make = "head -c 3M /dev/urandom > /srv/three; echo changed >> /etc/skel/.profile; exec \"$@\"";
    let command = [&["sh", "-c", make, "sh"][..], &SINGLE].concat();
    let pod = Pod::new(&volume, "node-a", &command);
    let mut first = started(&pod)?;
    ends_with(&mut first, CHECKPOINTED)?;
    let (log, told) = (first.stderr.text(), "files, 3.1 MB, of the container's layer");
    ensure!(log.lines().any(|line| line.contains(told) && line.contains(" go along")), "{log}");
    let other = ["sh", "-c", "rm /etc/skel/.profile; exec \"$@\"", "sh", "crik", "run", "--"];
    let mut next = started(&pod.clone().with(|spec| spec.command(&other, &command)))?;
    resumes(&next, 1)?;
    next.stderr.wait_for(
        "this container's image lacks what the program had changed, and is another one; 1 are put back all the same",
    )?;
    let change = "cat /etc/skel/.profile; echo more | tee -a /etc/skel/.profile >> /srv/three";
    let (_, found, said) = next.exec(&["sh", "-c", change])?;
    ensure!(found.ends_with("changed\n"), "{found}{said}");
    ends_with(&mut next, CHECKPOINTED)?;
    // By now both are the program's.
    let last = started(&pod.with(|spec| spec.command(&other, &command)))?;
    resumes(&last, 2)?;
    ensure!(!last.stderr.text().contains("image lacks"), "{}", last.stderr.text());
    chain::verify(&[first.stdout.text(), next.stdout.text(), last.stdout.text()]).map(drop)
}

/// An agent that is killed while it works ends with its container; what outlasts that is the pod's.
#[test]
fn what_an_agent_that_was_killed_has_left_in_its_pod_is_removed_by_the_next_one() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).empty_dir("/scratch");
    let mut running = started(&pod)?;
    let here =
        "cd /scratch; mkdir .crik-aside-0; echo of another life > .crik-aside-0/1; ls -A /scratch /dev/shm";
    let (_, before, _) = running.exec(&["sh", "-c", here])?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    let again = started(&pod)?;
    let (_, after, _) = again.exec(&["sh", "-c", "ls -A /scratch /dev/shm"])?;
    let clocks = |listed: &str| listed.lines().filter(|name| name.starts_with("crik-clocks-")).count();
    ensure!(clocks(&before) == 1 && before.contains(".crik-aside-0"), "{before}");
    // Its own page, and nothing of the one before.
    ensure!(clocks(&after) == 1 && !after.contains("aside"), "{before}{after}");
    let page = |listed: &str| listed.lines().find(|name| name.starts_with("crik-clocks-")).map(str::to_owned);
    ensure!(page(&before) != page(&after), "{before}{after}");
    Ok(())
}
