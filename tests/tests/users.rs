//! A program goes on whose processes belong to more than one user, with the limits and rights that each of them had, in a
//! container that has no more than the two capabilities besides the usual ones.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{CHECKPOINTED, SINGLE, checkpointed, ends_with, resumes, started};
use crik_tests::volume::Volume;

const MOVES: u64 = 3;

/// What each process of the tree is and may do, by its id in the container: the agent's own is not of it.
fn rights(running: &Running) -> Result<BTreeMap<i32, String>> {
    let tree = running.processes().into_iter().filter(|process| process.pid >= 300);
    tree.map(|process| {
        let rights = process.rights().with_context(|| running.state())?;
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.host_pid))?;
        Ok((process.pid, format!("{}\n{rights}\n{limits}", process.name)))
    })
    .collect()
}

/// Runs `command` in a pod, and in three others after it, each on another node. Each process stays what it was, and `users` are
/// those to whom they belong.
fn moves(command: &[&str], users: &[u32]) -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", command);
    let (mut outputs, mut before) = (Vec::new(), None);
    for generation in 0..=MOVES {
        let mut running = started(&pod)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        let now = rights(&running)?;
        for user in users {
            let line = format!("Uid:\t{user}\t{user}\t{user}\t{user}");
            ensure!(now.values().any(|one| one.contains(&line)), "nobody is {user}: {now:#?}");
        }
        let before = before.get_or_insert_with(|| now.clone());
        ensure!(*before == now, "{before:#?}\nhas become\n{now:#?}");
        ends_with(&mut running, CHECKPOINTED)?;
        outputs.push(running.stdout.text());
    }
    chain::verify(&outputs).map(drop)
}

/// What each process that runs the program is and may do. Their ids are others without crik.
fn of_the_program(running: &Running) -> Result<Vec<String>> {
    let program = running.processes().into_iter().filter(|process| process.name == "python3");
    let mut rights: Vec<String> = program.map(|process| process.rights()).collect::<Result<_>>()?;
    rights.sort();
    Ok(rights)
}

#[test]
fn root_and_users_have_the_rights_that_they_have_in_the_same_container_without_crik_also_elsewhere()
-> Result<()> {
    let volume = Volume::new()?;
    let command = ["python3", "/programs/tree.py", "33", "1000"];
    let with = Pod::new(&volume, "node-a", &command);
    let without = with.clone().with(|spec| spec.command(&[], &command));
    let expected = of_the_program(&started(&without)?)?;
    let has = |user: u32| expected.iter().any(|one| one.contains(&format!("Uid:\t{user}\t{user}\t")));
    ensure!(has(0) && has(33) && has(1000), "{expected:#?}");
    for generation in 0..2 {
        let mut running = started(&with)?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        let now = of_the_program(&running)?;
        ensure!(now == expected, "{now:#?}\nis not\n{expected:#?}");
        ends_with(&mut running, CHECKPOINTED)?;
    }
    Ok(())
}

/// What it may is known before CRIU fails at it, so that no attempt is used up by a pod spec that lacks a line.
#[test]
fn a_program_that_may_do_more_than_its_next_container_is_not_touched_and_goes_on_where_it_may() -> Result<()>
{
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config("onRestoreFailure: fail");
    let first = checkpointed(&pod)?;
    for _ in 0..4 {
        let without = pod.replacement().with(|spec| spec.capabilities.retain(|name| name != "CAP_MKNOD"));
        let mut without = without.start()?;
        ensure!(without.wait()? == 75, "{}", without.transcript());
        let told = without.stderr.text();
        let remedy = "this container does not give (MKNOD); add them to securityContext.capabilities.add";
        ensure!(told.contains(remedy), "{told}");
    }
    let next = started(&pod.replacement())?;
    resumes(&next, 1)?;
    chain::verify(&[first, next.stdout.text()]).map(drop)
}

#[test]
fn a_program_whose_root_has_become_another_user_moves_three_times() -> Result<()> {
    let drop_rights = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let script = "ulimit -Sn 500; ulimit -Hn 600; ulimit -c 0; exec \"$@\"";
    let program = ["python3", "/programs/single.py"];
    moves(&[&["sh", "-c", script, "entrypoint"], &drop_rights[..], &program].concat(), &[0, 65534])
}

#[test]
fn a_master_of_root_and_its_workers_of_other_users_move_three_times() -> Result<()> {
    moves(&["python3", "/programs/tree.py", "33", "33", "65534", "1000"], &[0, 33, 65534, 1000])
}
