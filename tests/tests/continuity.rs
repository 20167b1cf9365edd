//! The state of a program goes on in a new container, with no step lost or repeated, three times in a row.

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::volume::Volume;

const CYCLES: usize = 3;
const STEPS: usize = 30;

/// Runs `pod` for some steps, checkpoints it, and again in new containers; returns what each wrote.
fn cycles(pod: &Pod) -> Result<Vec<String>> {
    let mut outputs = Vec::new();
    for cycle in 0..=CYCLES {
        let mut running = pod.start()?;
        running.wait_for_lines(STEPS)?;
        if cycle > 0 {
            running.stderr.wait_for("the application goes on")?;
        }
        checkpoint(&mut running)?;
        outputs.push(running.stdout.text());
    }
    Ok(outputs)
}

fn checkpoint(running: &mut Running) -> Result<()> {
    let code = running.stop()?;
    ensure!(code == 143, "the agent exited with {code}\n{}", running.transcript());
    Ok(())
}

fn goes_on(command: &[&str]) -> Result<()> {
    let volume = Volume::new()?;
    let outputs = cycles(&Pod::new(&volume, "node-a", command))?;
    let steps = chain::verify(&outputs)?;
    println!("{command:?}: {steps} steps over {} containers", outputs.len());
    Ok(())
}

#[test]
fn a_single_process() -> Result<()> {
    goes_on(&["python3", "/programs/single.py"])
}

#[test]
fn a_tree_with_pipes_between_its_members() -> Result<()> {
    goes_on(&["python3", "/programs/tree.py"])
}

#[test]
fn a_program_with_many_threads() -> Result<()> {
    goes_on(&["python3", "/programs/threads.py"])
}

#[test]
fn open_files_on_the_volume_and_deleted_ones() -> Result<()> {
    goes_on(&["python3", "/programs/files.py", "/checkpoints/work"])
}

#[test]
fn listening_tcp_and_unix_sockets() -> Result<()> {
    goes_on(&["python3", "/programs/sockets.py"])
}

#[test]
fn timers_and_signal_handlers() -> Result<()> {
    goes_on(&["python3", "/programs/timers.py"])
}

#[test]
fn children_and_threads_that_come_and_go() -> Result<()> {
    goes_on(&["python3", "/programs/churn.py"])
}

#[test]
fn programs_that_are_half_started() -> Result<()> {
    goes_on(&["python3", "/programs/starts.py"])
}

#[test]
fn who_reads_from_the_pods_input_reads_on_from_the_next_ones() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "-qi"]).with(|spec| spec.stdin = true);
    let mut running = pod.start()?;
    running.type_in("known = 41\n")?;
    for generation in 1..4 {
        running.type_in("known += 1; print(f'is-{known}')\n")?;
        running.stdout.wait_for(&format!("is-{}", 41 + generation))?;
        checkpoint(&mut running)?;
        running = pod.replacement().start()?;
        running.stderr.wait_for("the application goes on")?;
    }
    Ok(())
}
