//! Whatever a program waits for, it goes on waiting for that on a node that was booted at another time, and by its own clocks
//! nothing has happened but that a moment has passed.

use std::time::Instant;

use anyhow::Result;
use crik_tests::pod::Pod;
use crik_tests::spec::Spec;
use crik_tests::story::{CHECKPOINTED, ends_with, resumes};
use crik_tests::ticks::{Move, wait_for_each};
use crik_tests::volume::Volume;

/// Younger, older, younger.
const MOVES: u64 = 3;

const PYTHON: [&str; 2] = ["python3", "/programs/waits/waits.py"];
const PYTHONS_WAYS: [&str; 9] =
    ["sleep", "event", "condition", "queue", "select", "epoll", "timerfd", "asyncio", "posix-timer"];

/// Moves a program again and again, which waits in these ways.
fn goes_on(pod: &Pod, ways: &[&str], told: &str) -> Result<()> {
    let mut before: Option<(Instant, String)> = None;
    for generation in 0..=MOVES {
        let mut running = pod.start()?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        wait_for_each(&running, ways)?;
        if let Some((from, before)) = before {
            Move { from, to: Instant::now() }.check(&before, &running.stdout.text())?;
        }
        running.stderr.wait_for(told)?;
        let from = Instant::now();
        wait_for_each(&running, ways)?;
        ends_with(&mut running, CHECKPOINTED)?;
        before = Some((from, running.stdout.text()));
    }
    Ok(())
}

/// What a pod with `hostUsers: false` may be given, since it counts in that pod alone.
fn by_the_kernel(spec: &mut Spec) {
    spec.user_namespace = true;
    spec.capabilities.extend(["CAP_SYS_ADMIN", "CAP_SYS_TIME"].map(str::to_owned));
}

#[test]
fn python_by_the_library() -> Result<()> {
    let volume = Volume::new()?;
    goes_on(&Pod::new(&volume, "node-a", &PYTHON), &PYTHONS_WAYS, "by crik's library")
}

#[test]
fn python_by_the_kernel() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &PYTHON).with(by_the_kernel);
    goes_on(&pod, &PYTHONS_WAYS, "by the kernel")
}
