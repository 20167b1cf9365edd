//! One image directory, several pods: one of them resumes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Running};
use crik_tests::story::{
    CHECKPOINTED, SINGLE, STEPS, checkpointed, ends_with, resumes, started, starts_fresh, stops_in_order,
};
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// What a pod exits with that must not resume.
const CLAIMED: i32 = 75;

const ROUNDS: usize = 50;

/// Signs of life come four times in this time, so that nobody waits long to know that another pod lives.
const LIVELY: &str = "claimExpiry: 1s";

fn pod(volume: &Volume, config: &str) -> Pod {
    Pod::new(volume, "node-a", &SINGLE).config(LIVELY).config(config)
}

/// Starts as many pods at once, each with a uid of its own.
fn start_at_once(pod: &Pod, count: usize) -> Result<Vec<Running>> {
    thread::scope(|scope| {
        let starting: Vec<_> = (0..count).map(|_| scope.spawn(|| pod.replacement().start())).collect();
        starting.into_iter().map(|one| one.join().expect("a start panicked")).collect()
    })
}

/// One goes on, all others exit.
fn race(volume: &Volume, pods: usize) -> Result<()> {
    let volume = volume.copy()?;
    let mut running = start_at_once(&pod(&volume, "onClaimed: fail"), pods)?;
    let resumed = |one: &Running| one.stderr.text().contains("restored generation 00000001");
    let places: Vec<String> = running.iter().map(Running::place).collect();
    let alive =
        |said: &str| places.iter().any(|place| said.contains(&format!("is held by {place}, which is alive")));
    let mut winners = 0;
    for one in &mut running {
        wait_for("a pod to resume or to exit", || (resumed(one) || one.poll().is_some()).then_some(()))
            .with_context(|| one.state())?;
        if resumed(one) {
            winners += 1;
        } else {
            ensure!(one.wait()? == CLAIMED, "{}", one.transcript());
            ensure!(alive(&one.stderr.text()), "{}", one.transcript());
        }
        ensure!(!one.stderr.text().contains("starts fresh"), "{}", one.transcript());
    }
    ensure!(winners == 1, "{winners} pods resumed");
    Ok(())
}

#[test]
fn of_many_pods_that_start_at_once_one_resumes() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&pod(&volume, ""))?;
    let mut table =
        Table::new(&format!("pods that start at once on one image directory, {ROUNDS} times each"));
    for pods in [2, 5] {
        table.case(&format!("{pods} pods"), || {
            for round in 1..=ROUNDS {
                race(&volume, pods).with_context(|| format!("round {round}"))?;
            }
            Ok(format!("one resumed in each of {ROUNDS} rounds"))
        });
    }
    table.finish()
}

#[test]
fn those_that_wait_go_on_one_after_the_other() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "claimTimeout: 1h");
    let mut outputs = vec![checkpointed(&pod)?];
    let mut waiting = start_at_once(&pod, 3)?;
    for generation in 1..=3 {
        let resumed = wait_for("one of them to resume", || {
            waiting.iter().position(|one| one.stderr.text().contains("restored generation"))
        })?;
        let mut one = waiting.remove(resumed);
        resumes(&one, generation)?;
        one.wait_for_lines(STEPS)?;
        ensure!(waiting.iter().all(|other| other.stdout.text().is_empty()), "two ran at once");
        ends_with(&mut one, CHECKPOINTED)?;
        outputs.push(one.stdout.text());
    }
    chain::verify(&outputs).map(drop)
}

#[test]
fn to_wait_has_an_end() -> Result<()> {
    let volume = Volume::new()?;
    let first = started(&pod(&volume, ""))?;
    let mut second = pod(&volume, "claimTimeout: 1s").replacement().start()?;
    ensure!(second.wait()? == CLAIMED, "{}", second.transcript());
    ensure!(first.stderr.text().contains("starts fresh"));
    Ok(())
}

#[test]
fn a_pod_that_waits_can_be_stopped() -> Result<()> {
    let volume = Volume::new()?;
    let _first = started(&pod(&volume, ""))?;
    let mut second = pod(&volume, "").replacement().start()?;
    second.stderr.wait_for("waiting for it")?;
    ends_with(&mut second, 128 + 15)
}

#[test]
fn a_pod_that_may_start_fresh_beside_another_one_is_not_checkpointed() -> Result<()> {
    let volume = Volume::new()?;
    checkpointed(&pod(&volume, ""))?;
    let first = started(&pod(&volume, ""))?;
    resumes(&first, 1)?;
    let mut second = started(&pod(&volume, "onClaimed: fresh").replacement())?;
    starts_fresh(&second)?;
    stops_in_order(&mut second, 0)?;
    ensure!(volume.generations("job-0").len() == 1);
    ensure!(!volume.path().join("job-0/ended.json").exists(), "it has no say in what the other one does");
    Ok(())
}

#[test]
fn what_was_started_beside_another_pod_leaves_nothing_above_its_work_either() -> Result<()> {
    let volume = Volume::new()?;
    let before = checkpointed(&pod(&volume, ""))?;
    let mut first = started(&pod(&volume, ""))?;
    resumes(&first, 1)?;
    let mut second = started(&pod(&volume, "onClaimed: fresh").replacement())?;
    starts_fresh(&second)?;
    ends_with(&mut first, CHECKPOINTED)?;
    stops_in_order(&mut second, 0)?;
    second.stderr.wait_for("another pod went on with the work when this one was started")?;
    let last = started(&pod(&volume, ""))?;
    resumes(&last, 2)?;
    chain::verify(&[before, first.stdout.text(), last.stdout.text()]).map(drop)
}

#[test]
fn a_liveness_probe_does_not_keep_a_pod_from_outliving_a_dead_holder() -> Result<()> {
    const EXPIRY: Duration = Duration::from_secs(5);
    const PROBE: Duration = Duration::from_millis(2000);
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &SINGLE).config(&format!("claimExpiry: {}s", EXPIRY.as_secs()));
    let before = checkpointed(&pod)?;
    let mut dead = started(&pod)?;
    dead.signal(Signal::SIGKILL)?;
    dead.wait()?;
    let (waiter, mut containers) = (pod.replacement(), 1);
    let mut running = waiter.start()?;
    let mut waits = Instant::now();
    loop {
        wait_for("a container that waits", || {
            let said = running.stderr.text();
            (said.contains("waiting for it") || said.contains("restored")).then_some(())
        })?;
        // As a kubelet does: whatever the reason is, a probe that fails for so long ends the container.
        let resumed = wait_for("the probe", || match running.stdout.text().lines().count() >= STEPS {
            true => Some(true),
            false => (waits.elapsed() >= PROBE).then_some(false),
        })?;
        if resumed {
            break;
        }
        ensure!(running.end_for_a_probe()? == 128 + 15, "{}", running.transcript());
        running.stderr.wait_for("its liveness probe did it: give the container a startupProbe")?;
        containers += 1;
        ensure!(
            PROBE * containers < EXPIRY * 3,
            "{containers} containers and it still waits\n{}",
            running.transcript()
        );
        (running, waits) = (waiter.start()?, Instant::now());
    }
    resumes(&running, 1)?;
    println!("it was resumed by container {containers}, each of which had {PROBE:?}");
    ensure!(containers > 2, "no probe came\n{}", running.transcript());
    running.stderr.wait_for("this pod has waited")?;
    chain::verify(&[before, running.stdout.text()]).map(drop)
}

#[test]
fn a_twin_that_was_cut_off_commits_nothing() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "");
    let before = checkpointed(&pod)?;
    let mut old = started(&pod)?;
    resumes(&old, 1)?;
    // As when its node is cut off from the volume and from the cluster: no sign of life, and nothing has ended.
    old.signal(Signal::SIGSTOP)?;
    let mut new = started(&pod.replacement())?;
    resumes(&new, 1)?;
    old.signal(Signal::SIGCONT)?;
    stops_in_order(&mut old, 0)?;
    old.stderr.wait_for(&format!("the image directory is held by {} now", new.place()))?;
    ensure!(volume.generations("job-0").len() == 1 && !volume.path().join("job-0/ended.json").exists());
    ends_with(&mut new, CHECKPOINTED)?;
    let last = started(&pod.replacement())?;
    resumes(&last, 2)?;
    chain::verify(&[before, new.stdout.text(), last.stdout.text()]).map(drop)
}

#[test]
fn what_a_broken_holder_file_says_is_nobody_that_could_be_waited_for_for_ever() -> Result<()> {
    let volume = Volume::new()?;
    let pod = pod(&volume, "");
    checkpointed(&pod)?;
    for rubbish in ["", "{", "null", "{\"pod\":7}"] {
        let hold = volume.path().join("job-0/holders/00000099");
        std::fs::create_dir_all(&hold)?;
        std::fs::write(hold.join("holder.json"), rubbish)?;
        let next = started(&pod)?;
        resumes(&next, 1)?;
        drop(next);
        std::fs::remove_dir_all(volume.path().join("job-0/holders"))?;
        std::fs::remove_dir_all(volume.path().join("job-0/claims"))?;
    }
    Ok(())
}
