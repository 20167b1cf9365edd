//! All that the application starts belongs to it: daemons and orphans are dumped, restored, stopped and reaped.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::volume::Volume;

const CYCLES: usize = 3;
const STEPS: usize = 30;

fn daemon(running: &Running) -> Result<i32> {
    let python = running.processes().into_iter().filter(|process| process.name == "python3");
    // The daemon is the one that was made last.
    python.map(|process| process.pid).max().context("there is no daemon")
}

/// The daemon lives on over three cycles, and is gone when the application is stopped.
fn lives_on(kind: &str) -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/daemons.py", kind]);
    let (mut outputs, mut first) = (Vec::new(), None);
    for _ in 0..CYCLES {
        let mut running = pod.start()?;
        running.wait_for_lines(STEPS)?;
        let pid = daemon(&running)?;
        ensure!(*first.get_or_insert(pid) == pid, "the daemon is another one\n{}", running.transcript());
        let code = running.stop()?;
        ensure!(code == 143, "the agent exited with {code}\n{}", running.transcript());
        outputs.push(running.stdout.text());
    }
    let last = pod.start()?;
    last.wait_for_lines(STEPS)?;
    ensure!(daemon(&last)? == first.context("no cycle")?);
    outputs.push(last.stdout.text());
    chain::verify(&outputs).with_context(|| last.transcript())?;
    Ok(())
}

#[test]
fn a_daemon_goes_on() -> Result<()> {
    lives_on("single")
}

#[test]
fn a_double_forked_daemon_goes_on() -> Result<()> {
    lives_on("double")
}

#[test]
fn a_daemon_that_a_subreaper_of_the_programs_own_adopted_is_not_lost_in_silence() -> Result<()> {
    let volume = Volume::new()?;
    let mut running =
        Pod::new(&volume, "node-a", &["python3", "/programs/daemons.py", "subreaper"]).start()?;
    running.wait_for_lines(STEPS)?;
    let code = running.stop()?;
    ensure!(code == 128 + 15, "exit code {code}\n{}", running.transcript());
    running.stderr.wait_for("start the program without an init of its own")?;
    ensure!(volume.generations("job-0").is_empty());
    Ok(())
}
