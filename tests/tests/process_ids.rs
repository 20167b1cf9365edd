//! Whatever happens before a restore, every process id of the tree is free: a long wait, commands that others run in the container,
//! attempts that fail. And what must not be lost or left behind when a wait ends.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_store::base::fault_points::HURRY_VARIABLE;
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::faulty::Op;
use crik_tests::pod::{Pod, Process, Running};
use crik_tests::story::{
    CHECKPOINTED, SINGLE, STEPS, checkpointed, ends_with, resumes, started, starts_fresh,
};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// Process ids of the first four hundred threads; what a restore runs has none of them.
const MANY: [&str; 2] = ["python3", "/programs/many_threads.py"];

/// As many looks at another pod's hold as five minutes have.
const LOOKS: u64 = 5 * 60 * 4;

/// The ids below belong to nobody of a tree.
const FIRST_OF_TREE: i32 = 300;

fn pod(volume: &Volume, command: &[&str]) -> Pod {
    Pod::new(volume, "node-a", command).config("claimExpiry: 1s\nclaimTimeout: 1h")
}

/// One that waits as often in two seconds as others do in five minutes.
fn hurried(pod: &Pod) -> Result<Pod> {
    let binary = cargo_bin("crik-agent", "crik", &["fault-points"])?;
    Ok(pod.replacement().binary(&binary).with(|spec| spec.env(HURRY_VARIABLE, "200")))
}

/// A container that waits for what another one holds.
fn waiting(pod: &Pod) -> Result<Running> {
    let waiting = pod.start()?;
    waiting.stderr.wait_for("waiting for it")?;
    Ok(waiting)
}

fn agent(running: &Running) -> Result<Process> {
    running.processes().into_iter().find(|process| process.pid == 1).context("no agent runs")
}

/// The ids of the agent's threads, as they are in the container.
fn threads(running: &Running) -> Result<Vec<i32>> {
    ids(agent(running)?.host_pid)
}

/// The ids of a process's threads, as they are in its container.
fn ids(host_pid: i32) -> Result<Vec<i32>> {
    let tasks = fs::read_dir(format!("/proc/{host_pid}/task"))?;
    let id = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))?
            .split_whitespace()
            .next_back()?
            .parse()
            .ok()
    };
    Ok(tasks.flatten().filter_map(id).collect())
}

/// How often it was looked, as the log says.
fn looks(said: &str) -> Option<u64> {
    let rest = said.split_once("looks=")?.1;
    rest[..rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

#[test]
fn a_wait_of_any_length_uses_up_none() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &MANY);
    let mut first = started(&pod)?;
    let waiting = waiting(&hurried(&pod)?)?;
    let (_, before, _) = waiting.exec(&["sh", "-c", "echo $$"])?;
    // Each look reads the volume.
    let read = || {
        let io = fs::read_to_string(format!("/proc/{}/io", agent(&waiting).ok()?.host_pid)).ok()?;
        io.lines().find_map(|line| line.strip_prefix("syscr: "))?.trim().parse::<u64>().ok()
    };
    wait_for("five minutes' worth of looks", || (read()? > 8 * LOOKS).then_some(()))?;
    let (_, after, _) = waiting.exec(&["sh", "-c", "echo $$"])?;
    let used = after.trim().parse::<i32>()? - before.trim().parse::<i32>()?;
    ensure!(used < 20, "{used} ids were used up, and the two commands need some ten");
    ends_with(&mut first, CHECKPOINTED)?;
    resumes(&waiting, 1)?;
    waiting.wait_for_lines(STEPS)?;
    let said = waiting.stderr.text();
    ensure!(looks(&said).is_some_and(|looks| looks > LOOKS), "{said}");
    let threads = threads(&waiting)?;
    ensure!(threads.iter().filter(|id| **id < FIRST_OF_TREE).count() > 3, "{threads:?}");
    chain::verify(&[first.stdout.text(), waiting.stdout.text()]).map(drop)
}

#[test]
fn commands_in_a_container_that_waits_take_no_id_of_the_tree() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &MANY);
    let mut first = started(&pod)?;
    let waiting = waiting(&pod.replacement())?;
    // As a probe does in the course of time: the next ids are in the middle of those of the threads.
    let (code, _, said) = waiting.exec(&["sh", "-c", "for i in $(seq 450); do /bin/true; done"])?;
    ensure!(code == Some(0), "{said}");
    ends_with(&mut first, CHECKPOINTED)?;
    resumes(&waiting, 1)?;
    waiting.wait_for_lines(STEPS)?;
    chain::verify(&[first.stdout.text(), waiting.stdout.text()]).map(drop)
}

#[test]
fn attempts_that_fail_take_no_id_of_the_tree() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &MANY);
    let (first, second) = (checkpointed(&pod)?, checkpointed(&pod)?);
    drop(second);
    // CRIU fails only at the end, when most of the tree is there, and as often as there are hooks that want it.
    let refusing = pod.config(
        "hooks: {postRestore: {command: [sh, -c, 'for i in $(seq 450); do /bin/true; done; test $CRIK_GENERATION = 1'], onFailure: fail}}",
    );
    let third = refusing.start()?;
    resumes(&third, 1)?;
    third.wait_for_lines(STEPS)?;
    ensure!(third.stderr.text().contains("generation 00000002 is skipped"), "{}", third.transcript());
    let third = third.stdout.text();
    chain::verify_repeated(&first, &third).map(drop)
}

#[test]
fn a_hold_that_is_taken_when_the_sigterm_comes_is_given_back() -> Result<()> {
    let volume = Volume::new()?.faulty_copy()?;
    volume.faulty.faults.hang_at(Op::Rename);
    let mut running = pod(&volume.volume, &SINGLE).start()?;
    wait_for("the hold to be taken", || volume.faulty.faults.hang().then_some(()))?;
    running.signal(Signal::SIGTERM)?;
    let status = format!("/proc/{}/status", agent(&running)?.host_pid);
    let pending = || {
        fs::read_to_string(&status)
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("ShdPnd:").map(str::to_owned))
    };
    wait_for("the agent to read its signal", || (pending()?.trim() == "0000000000000000").then_some(()))?;
    volume.faulty.faults.clear();
    ensure!(running.wait()? == 128 + 15, "{}", running.transcript());
    let backing = volume.unmount();
    ensure!(backing.path().join("job-0/holders/00000001/released").exists(), "{}", running.transcript());
    Ok(())
}

#[test]
fn a_signal_that_comes_while_it_waits_is_for_the_program_that_goes_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["python3", "/programs/signals.py"]);
    let mut first = pod.start()?;
    first.stdout.wait_for("listening")?;
    let waiting = waiting(&pod.replacement())?;
    for signal in [Signal::SIGUSR1, Signal::SIGWINCH] {
        waiting.send(signal)?;
    }
    ends_with(&mut first, CHECKPOINTED)?;
    resumes(&waiting, 1)?;
    ["got SIGUSR1", "got SIGWINCH"].iter().try_for_each(|said| waiting.stdout.wait_for(said))
}

#[test]
fn a_signal_that_comes_while_it_waits_does_not_end_a_program_that_has_not_begun() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &SINGLE);
    let first = started(&pod)?;
    let waiting = waiting(&pod.replacement())?;
    waiting.send(Signal::SIGUSR1)?;
    first.signal(Signal::SIGKILL)?;
    starts_fresh(&waiting)?;
    waiting.wait_for_lines(STEPS)
}

#[test]
fn a_number_that_no_workload_reaches_is_nobodys() -> Result<()> {
    let volume = Volume::new()?;
    for place in ["holders", "generations"] {
        fs::create_dir_all(volume.path().join("job-0").join(place).join("18446744073709551615"))?;
    }
    let pod = pod(&volume, &SINGLE);
    let first = checkpointed(&pod)?;
    let second = started(&pod)?;
    resumes(&second, 1)?;
    chain::verify(&[first, second.stdout.text()]).map(drop)
}

#[test]
fn ids_that_are_shared_with_other_containers_are_told() -> Result<()> {
    let volume = Volume::new()?;
    // Its first process is that of the whole pod.
    let sidecar = Pod::new(&volume, "node-a", &["sleep", "1000"]).only_config("").start()?;
    let namespace = format!("/proc/{}/ns/pid", agent(&sidecar)?.host_pid);
    let pod = pod(&volume, &SINGLE).with(|spec| spec.pid_namespace = Some(namespace.into()));
    let mut running = started(&pod)?;
    running
        .stderr
        .wait_for("a checkpoint taken here may not be resumed: processes of other containers share")?;
    running.stderr.wait_for("shareProcessNamespace: false")?;
    ends_with(&mut running, CHECKPOINTED)?;
    let plain = started(&pod.with(|spec| spec.pid_namespace = None))?;
    resumes(&plain, 1)?;
    plain.stderr.wait_for("the volume takes about")?;
    ensure!(!plain.stderr.text().contains("may not be resumed"), "{}", plain.transcript());
    Ok(())
}

/// Starts a process that has the id $1 and goes on, and its parent with it unless $2 is `leaves`.
const TAKES_AN_ID: &str = "
import os, sys, time
wanted = int(sys.argv[1])
while True:
    pid = os.fork()
    if pid == 0 and os.getpid() == wanted:
        time.sleep(1000)
    if pid == 0:
        os._exit(0)
    if pid == wanted and sys.argv[2:] == ['leaves']:
        sys.exit()
    os.waitpid(pid, 0)
    if pid == wanted:
        sys.exit()
";

/// The ids of the program's threads, its own among them.
fn ids_of_the_program(running: &Running) -> Result<Vec<i32>> {
    let program = running.processes().into_iter().find(|process| process.name == "python3");
    ids(program.context("no program runs")?.host_pid)
}

/// Takes an id of the tree in a container that waits for it.
fn take(id: i32, waiting: &Running, whether: &[&str]) -> Result<()> {
    waiting.exec_on(&[&["python3", "-c", TAKES_AN_ID, &id.to_string()], whether].concat())?;
    wait_for("the id to be taken", || {
        waiting.processes().iter().any(|process| process.pid == id).then_some(())
    })
}

/// Expects that a checkpoint is resumed though a session of somebody has an id of the tree, which is named and ended.
fn is_named_and_ended(taken: impl Fn(&[i32]) -> Option<i32>) -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["python3", "/programs/threads.py"]);
    let mut first = started(&pod)?;
    let id = taken(&ids_of_the_program(&first)?).context("no such id")?;
    let waiting = waiting(&pod.replacement())?;
    take(id, &waiting, &[])?;
    ends_with(&mut first, CHECKPOINTED)?;
    resumes(&waiting, 1)?;
    let (said, named) = (waiting.stderr.text(), format!("process {id} (python3) started by "));
    ensure!(
        said.contains(&named) && said.contains(&format!(" has the process id {id} of the program")),
        "{said}"
    );
    ensure!(!said.contains("trying again"), "{said}");
    waiting.wait_for_lines(STEPS)?;
    chain::verify(&[first.stdout.text(), waiting.stdout.text()]).map(drop)
}

#[test]
fn who_has_the_id_of_a_process_is_named_and_ended() -> Result<()> {
    is_named_and_ended(|ids| ids.iter().min().copied())
}

#[test]
fn who_has_the_id_of_a_thread_is_named_and_ended() -> Result<()> {
    is_named_and_ended(|ids| ids.iter().max().copied())
}

#[test]
fn an_id_that_another_container_has_is_waited_for_and_costs_no_attempt() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &SINGLE).config("maxRestores: 1\nvolumeTimeout: 10s");
    let mut first = started(&pod)?;
    let id = ids_of_the_program(&first)?.into_iter().min().context("no such id")?;
    ends_with(&mut first, CHECKPOINTED)?;
    let sidecar =
        Pod::new(&volume, "node-a", &SINGLE).with(|spec| spec.command(&[], &["sleep", "1000"])).start()?;
    take(id, &sidecar, &[])?;
    let namespace = format!("/proc/{}/ns/pid", agent(&sidecar)?.host_pid);
    let beside = pod.replacement().with(|spec| spec.pid_namespace = Some(namespace.clone().into()));
    let second = beside.start()?;
    let whose = format!(" has the process id {id} of the program");
    second.stderr.wait_for(&format!("{whose}; it is waited for"))?;
    starts_fresh(&second)?;
    let said = second.stderr.text();
    ensure!(
        said.contains(&format!("{whose}, and does not end")) && !said.contains("resuming generation"),
        "{said}"
    );
    // With all that it has started: the namespace is the sidecar's, and does not end with the agent.
    drop(second);
    let third = beside.start()?;
    third.stderr.wait_for(&format!("{whose}; it is waited for"))?;
    let (_, _, said) = sidecar.exec(&["sh", "-c", &format!("kill -KILL {id}")])?;
    resumes(&third, 1).context(said)?;
    third.wait_for_lines(STEPS)?;
    chain::verify(&[first.stdout.text(), third.stdout.text()]).map(drop)
}

#[test]
fn an_id_that_something_has_that_was_left_behind_in_the_container_is_free() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, &["python3", "/programs/threads.py"]);
    let mut first = started(&pod)?;
    let id = ids_of_the_program(&first)?.into_iter().max().context("no such id")?;
    let waiting = waiting(&pod.replacement())?;
    // The agent is its parent from now on.
    take(id, &waiting, &["leaves"])?;
    ends_with(&mut first, CHECKPOINTED)?;
    resumes(&waiting, 1)?;
    waiting.wait_for_lines(STEPS)?;
    chain::verify(&[first.stdout.text(), waiting.stdout.text()]).map(drop)
}
