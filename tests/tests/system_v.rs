//! What a program has of System V belongs to no process, and no descriptor shows it. Where it cannot go along it is named with its owner,
//! key and id, after the start and before anything is ended for a checkpoint, and what another container of the pod has never is.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{
    CHECKPOINTED, ends_with, resumes, started, stays_behind, stops_in_order, stops_without_checkpoint,
};
use crik_tests::volume::Volume;

const KEY: &str = "key 0x0063726b";

fn program(volume: &Volume, kinds: &[&str]) -> Pod {
    Pod::new(volume, "node-a", &[&["python3", "/programs/system_v.py"], kinds].concat())
}

/// The id that the program has got for what it has made.
fn id(running: &Running, kind: &str) -> Result<String> {
    let said = running.stderr.text();
    let line = said.lines().find_map(|line| line.strip_prefix(&format!("has {kind} ")));
    Ok(format!("id {}", line.with_context(|| running.transcript())?))
}

/// Expects that this is told after the start, by a look of somebody's own and at a checkpoint that is not tried.
fn is_named(running: &Running, parts: &[&str]) -> Result<()> {
    running.stderr.wait_for("no checkpoint can be taken here: ").with_context(|| running.transcript())?;
    running.stderr.wait_for("NOT PROTECTED: 1 reason: ").with_context(|| running.transcript())?;
    let has_all = |said: &str| parts.iter().all(|part| said.contains(part));
    ensure!(has_all(&running.stderr.text()), "{parts:?}\n{}", running.transcript());
    let (_, found, _) = running.exec(&["crik", "doctor"])?;
    ensure!(has_all(&found) && found.contains("NOT PROTECTED  "), "{parts:?}\n{found}");
    let (code, _, said) = running.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code != Some(0) && has_all(&said) && !said.contains("criu failed"), "{parts:?}\n{said}");
    Ok(())
}

/// Expects that a program which has this is told so, and gets its SIGTERM.
fn is_refused(kinds: &[&str], who: &str, what: &str, key: &str) -> Result<()> {
    let volume = Volume::new()?;
    let mut running = started(&program(&volume, kinds))?;
    let kind = kinds.first().context("no kind")?;
    is_named(&running, &[who, what, key, &id(&running, kind)?, "have the program do without"])?;
    stops_without_checkpoint(&mut running, &volume)?;
    ensure!(running.stdout.text().ends_with("goodbye\n"), "no SIGTERM came\n{}", running.transcript());
    Ok(())
}

#[test]
fn shared_memory_is_named_whether_it_is_mapped_or_not() -> Result<()> {
    is_refused(&["shared_memory"], "(python3) has shared memory", " of System V", "key 0x00000000")?;
    is_refused(&["memory_of_nobody"], "the program has shared memory", " of System V", KEY)
}

#[test]
fn a_message_queue_is_named() -> Result<()> {
    is_refused(&["queue"], "(python3) has a message queue", " of System V", KEY)
}

#[test]
fn semaphores_are_named_used_or_not() -> Result<()> {
    is_refused(&["semaphores"], "(python3) has a semaphore set", " of System V", KEY)?;
    is_refused(&["fresh_semaphores"], "the program has a semaphore set", " of System V", KEY)
}

#[test]
fn those_of_another_user_are_named_too() -> Result<()> {
    is_refused(&["semaphores", "user"], "(python3) has a semaphore set", " of System V", KEY)
}

#[test]
fn a_queue_of_posix_that_nobody_has_open_stays_behind_and_that_is_said() -> Result<()> {
    let volume = Volume::new()?;
    let said = "that no process of the program has open (1, such as /dev/mqueue/crik)";
    stays_behind(&program(&volume, &["posix_queue"]), said, |_| Ok(()))
}

/// A container of a pod that has something of every kind, and the namespaces that the others may share with it.
fn sidecar(volume: &Volume) -> Result<(Running, String)> {
    let kinds = ["shared_memory", "memory_of_nobody", "queue", "semaphores"];
    let sidecar = program(volume, &kinds).only_config("").start()?;
    sidecar.wait_for_lines(1)?;
    let first =
        sidecar.processes().into_iter().find(|process| process.pid == 1).context("nobody is first")?;
    let namespaces = format!("/proc/{}/ns", first.host_pid);
    Ok((sidecar, namespaces))
}

#[test]
fn what_another_container_of_the_pod_has_is_in_nobodys_way() -> Result<()> {
    for shares_ids in [false, true] {
        let (other, volume) = (Volume::new()?, Volume::new()?);
        let (mut sidecar, namespaces) = sidecar(&other)?;
        let pod = program(&volume, &[]).with(|spec| {
            spec.ipc_namespace = Some(format!("{namespaces}/ipc").into());
            spec.pid_namespace = shares_ids.then(|| format!("{namespaces}/pid").into());
        });
        let mut first = started(&pod)?;
        first.stderr.wait_for("protected: ").with_context(|| first.transcript())?;
        ends_with(&mut first, CHECKPOINTED)?;
        let next =
            started(&pod.replacement().with(|spec| (spec.ipc_namespace, spec.pid_namespace) = (None, None)))?;
        resumes(&next, 1)?;
        chain::verify(&[first.stdout.text(), next.stdout.text()])?;
        stops_in_order(&mut sidecar, 0)?;
    }
    Ok(())
}

#[test]
fn what_the_program_waits_for_is_its_own_beside_another_containers() -> Result<()> {
    let (other, volume) = (Volume::new()?, Volume::new()?);
    let (_sidecar, namespaces) = {
        let sidecar = program(&other, &[]).only_config("").start()?;
        sidecar.wait_for_lines(1)?;
        let first =
            sidecar.processes().into_iter().find(|process| process.pid == 1).context("nobody is first")?;
        (sidecar, format!("/proc/{}/ns", first.host_pid))
    };
    let pod = program(&volume, &["waits"]).with(|spec| {
        spec.ipc_namespace = Some(format!("{namespaces}/ipc").into());
        spec.pid_namespace = Some(format!("{namespaces}/pid").into());
    });
    let mut running = started(&pod)?;
    running
        .stderr
        .wait_for("(python3) has a semaphore set of System V")
        .with_context(|| running.transcript())?;
    stops_without_checkpoint(&mut running, &volume)
}
