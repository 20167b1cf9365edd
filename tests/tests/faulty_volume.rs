//! Whatever the volume does, the application ends up as it would have without crik, and the next start works.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_store::base::fault_points::HURRY_VARIABLE;
use crik_tests::build::cargo_bin;
use crik_tests::chain;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::crik::{crik, json};
use crik_tests::faulty::{Fault, Faults, Op};
use crik_tests::network::Network;
use crik_tests::pod::{Pod, Running};
use crik_tests::shared::Shared;
use crik_tests::story::{CHECKPOINTED, SINGLE, STEPS, checkpointed, resumes, started, starts_fresh};
use crik_tests::table::Table;
use crik_tests::volume::{FaultyVolume, Volume};
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// Short, so that what hangs is given up soon. No sign of life is written meanwhile, so that the operations are always the
/// same.
const CONFIG: &str = "gracePeriod: 10s\nreserve: 4s\ndecisionTimeout: 1s\nvolumeTimeout: 2s\nclaimExpiry: 1h";

const GRACE_PERIOD: Duration = Duration::from_secs(10);
const RESERVE: Duration = Duration::from_secs(4);

/// A workload with one good generation.
struct Before {
    volume: Volume,
    output: String,
}

fn before() -> Result<Arc<Before>> {
    static BEFORE: Shared<Before> = Shared::new();
    BEFORE.get(|| {
        let volume = Volume::new()?;
        let output = checkpointed(&pod(&volume))?;
        Ok(Before { volume, output })
    })
}

/// A pod that is followed by one on a machine of the same name, since a hold that could not be given back is told by that.
fn pod(volume: &Volume) -> Pod {
    Pod::new(volume, "node-a", &SINGLE).config(CONFIG).same_node_name()
}

/// A container that was resumed and has done all that it does beside the application.
fn settled(pod: &Pod) -> Result<Running> {
    let running = started(pod)?;
    resumes(&running, 1)?;
    running.stderr.wait_for("the volume takes about")?;
    Ok(running)
}

/// What a case did on the volume, and what came of it.
struct Case {
    ops: Vec<Op>,
    said: String,
    /// True if no work was lost.
    good: bool,
    /// What the container said.
    transcript: String,
}

impl Case {
    /// With the operation that was hit.
    fn at(self, n: usize) -> String {
        match self.ops.get(n - 1) {
            Some(op) => format!("{op:?}: {}", self.said),
            None => format!("it was over before: {}", self.said),
        }
    }
}

/// A stop while the volume misbehaves, and the next start when it does not any more.
fn stop_with(arm: impl FnOnce(&Faults)) -> Result<Case> {
    let before = before()?;
    let volume = before.volume.faulty_copy()?;
    let pod = pod(&volume.volume);
    let mut running = settled(&pod)?;
    arm(&volume.faulty.faults);
    let (end, after) = stopped(&mut running, &volume.faulty.faults)?;
    let ops = volume.faulty.faults.ops();
    let backing = volume.unmount();
    let outputs = before.output.clone() + &running.stdout.text();
    let next = goes_on(&pod.on(&backing), &backing, &outputs, end).with_context(|| running.transcript())?;
    let said = match end {
        End::Checkpointed => format!("checkpointed, and then {next}"),
        End::Killed => format!("frozen until it was killed, and then {next}"),
        End::ToldToStop if after < Duration::from_secs(1) => format!("told to stop at once, and then {next}"),
        End::ToldToStop => format!("told to stop within {} s, and then {next}", after.as_secs() + 1),
    };
    Ok(Case { ops, said, good: end == End::Checkpointed, transcript: running.transcript() })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Checkpointed,
    ToldToStop,
    /// Only where the volume hangs for ever while the application is frozen. A CRIU that is killed with a file of such a
    /// volume open is not gone before the volume has answered; and while the commit is not answered nobody knows whether the
    /// checkpoint exists. The application stays frozen until the kubelet kills the pod.
    Killed,
}

fn is_frozen(running: &Running) -> bool {
    running.processes().iter().any(|process| process.name == "python3" && "tT".contains(process.state))
}

/// The application is checkpointed, or gets its SIGTERM with its reserve; nothing else. Says how long that took.
fn stopped(running: &mut Running, faults: &Faults) -> Result<(End, Duration)> {
    let began = Instant::now();
    running.signal(Signal::SIGTERM)?;
    let goodbye = |running: &Running| running.stdout.text().ends_with("goodbye\n");
    let (mut after, mut killed) = (None, false);
    let code = wait_for("the container to end", || {
        after = after.or_else(|| goodbye(running).then(|| began.elapsed()));
        if began.elapsed() > GRACE_PERIOD && faults.hang() {
            killed = after.is_none() && is_frozen(running);
            if killed {
                running.signal(Signal::SIGKILL).ok()?;
            }
            // A CRIU that waits for the volume keeps the container from ending, whoever kills it.
            faults.clear();
        }
        running.poll()
    });
    let code = code.with_context(|| running.state())?;
    running.stdout.wait_for_end()?;
    if killed {
        return Ok((End::Killed, began.elapsed()));
    }
    if code == CHECKPOINTED {
        return Ok((End::Checkpointed, began.elapsed()));
    }
    ensure!(code == 0 && goodbye(running), "exit code {code}\n{}", running.transcript());
    let after = after.unwrap_or_else(|| began.elapsed());
    let left = GRACE_PERIOD.saturating_sub(after);
    // A busy machine may take a moment to pass the signal on.
    ensure!(left > RESERVE - Duration::from_secs(1), "it has only {left:?} left\n{}", running.transcript());
    Ok((End::ToldToStop, after))
}

/// The next pod resumes the newest generation, or starts fresh after a marked end.
fn goes_on(pod: &Pod, volume: &Volume, outputs: &str, end: End) -> Result<String> {
    let ended = volume.path().join("job-0/ended.json").exists();
    let newest = volume.generations("job-0").len() as u64;
    let next = started(pod)?;
    if ended {
        starts_fresh(&next)?;
        ensure!(end == End::ToldToStop, "a checkpoint was reported, and is not resumed");
        return Ok("fresh".to_owned());
    }
    resumes(&next, newest)?;
    if end == End::Checkpointed {
        chain::verify(&[outputs.to_owned(), next.stdout.text()])?;
    } else {
        chain::verify_repeated(outputs, &next.stdout.text())?;
    }
    Ok(format!("generation {newest}"))
}

/// A start while the volume misbehaves, and is well again once the agent has waited for it for so long.
fn start_with(arm: impl FnOnce(&Faults), trouble: Duration) -> Result<Case> {
    let before = before()?;
    let volume = before.volume.faulty_copy()?;
    let pod = pod(&volume.volume);
    arm(&volume.faulty.faults);
    let mut running = pod.start()?;
    let waited = waits_and_runs(&mut running, &volume.faulty.faults, trouble)?;
    let resumed = is_resumed(&running)?;
    let ops = volume.faulty.faults.ops();
    volume.faulty.faults.clear();
    let (end, _) = stopped(&mut running, &volume.faulty.faults)?;
    let backing = volume.unmount();
    let earlier = if resumed { before.output.clone() } else { String::new() };
    let outputs = earlier + &running.stdout.text();
    chain::verify(std::slice::from_ref(&outputs))?;
    if end == End::Checkpointed {
        goes_on(&pod.on(&backing), &backing, &outputs, end).with_context(|| running.transcript())?;
    }
    let said = match (waited, resumed) {
        (true, true) => "waited for, and resumed",
        (false, true) => "resumed",
        (_, false) => "started fresh",
    };
    Ok(Case { ops, said: said.to_owned(), good: resumed, transcript: running.transcript() })
}

/// Whether what runs was resumed, which the agent may say a moment after it runs.
fn is_resumed(running: &Running) -> Result<bool> {
    let told = wait_for("the agent to say how it began", || {
        let said = running.stderr.text();
        let resumed = said.contains("restored generation 00000001");
        (resumed || said.contains("the application starts fresh")).then_some(resumed)
    });
    told.with_context(|| running.state())
}

const WAITS: &str = "waiting for the volume";

/// Waits until the application runs. If the agent waits for the volume, nothing runs meanwhile, and that is well again after a while;
/// true if that was so.
fn waits_and_runs(running: &mut Running, faults: &Faults, trouble: Duration) -> Result<bool> {
    let (mut waited, mut troubled) = (None, false);
    wait_for("the application to run", || {
        if running.stderr.text().contains(WAITS) && waited.is_none() {
            waited = Some((Instant::now(), running.stdout.text().is_empty()));
        }
        if waited.is_some_and(|(since, _)| since.elapsed() >= trouble) && faults.lasts() {
            troubled = true;
            faults.clear();
        }
        (running.stdout.text().lines().count() >= STEPS || running.poll().is_some()).then_some(())
    })
    .with_context(|| running.state())?;
    ensure!(running.poll().is_none(), "it ended\n{}", running.transcript());
    Ok(troubled && waited.is_some_and(|(_, nothing_ran)| nothing_ran))
}

/// A start or a stop.
struct Life {
    case: fn(Arm) -> Result<Case>,
    /// How many operations there are before anything of crik runs.
    skipped: usize,
}

const STOP: Life = Life { case: |arm| stop_with(arm), skipped: 0 };

/// The runtime looks at what it mounts.
const START: Life = Life { case: |arm| start_with(arm, Duration::ZERO), skipped: 1 };

/// The same with a volume that is in trouble for longer than `volumeTimeout`.
const LONG_START: Life = Life { case: |arm| start_with(arm, Duration::from_secs(3)), skipped: 1 };

impl Life {
    /// All places at which `fault` makes a difference.
    fn places(&self, fault: Fault) -> Result<Vec<usize>> {
        let mut ops = (self.case)(Box::new(Faults::count))?.ops;
        // Threads interleave in other ways each time, so that a few operations more may come.
        ops.extend([Op::Write; 3]);
        // A fault that lasts and spares what changes nothing begins in effect at the next change.
        let distinct = |op: &Op| !matches!(fault, Fault::ChangesFromThenOn(_)) || op.changes();
        let places = (1..).zip(&ops).skip(self.skipped).filter(|(_, op)| distinct(op));
        Ok(places.map(|(n, _)| n).collect())
    }

    /// Fails at each of these places. `costs_nothing` if no work may be lost by that.
    fn fail_at(&self, table: &mut Table, name: &str, fault: Fault, places: &[usize], costs_nothing: bool) {
        let at_once = if matches!(fault, Fault::Hang | Fault::Slow(_)) { 4 } else { 2 };
        table.each_at_once(
            at_once,
            places,
            |_| name.to_owned(),
            |n| {
                let case = (self.case)(Box::new(|faults| faults.arm(*n, fault)))
                    .with_context(|| format!("operation {n}"))?;
                ensure!(case.good || !costs_nothing, "operation {n}, {}\n{}", case.said, case.transcript);
                Ok(case.at(*n))
            },
        );
    }

    fn fail_everywhere(
        &self,
        table: &mut Table,
        name: &str,
        fault: Fault,
        costs_nothing: bool,
    ) -> Result<()> {
        self.fail_at(table, name, fault, &self.places(fault)?, costs_nothing);
        Ok(())
    }

    /// The first operation of each kind, for what takes too long to do it at all of them.
    fn one_of_each(&self) -> Result<Vec<usize>> {
        let ops = (self.case)(Box::new(Faults::count))?.ops;
        let kinds: BTreeSet<Op> = ops.iter().skip(self.skipped).copied().collect();
        let first = |kind| ops.iter().skip(self.skipped).position(|op| *op == kind);
        Ok(kinds.into_iter().filter_map(first).map(|place| place + self.skipped + 1).collect())
    }
}

/// Makes a file system fail.
type Arm<'a> = Box<dyn FnOnce(&Faults) + 'a>;

#[test]
fn an_error_at_any_operation_of_a_stop() -> Result<()> {
    let _kept = before()?;
    let mut table = Table::new("a stop, with an error at every operation of it");
    STOP.fail_everywhere(&mut table, "EIO once", Fault::Once(libc::EIO), true)?;
    STOP.fail_everywhere(&mut table, "full from then on", Fault::ChangesFromThenOn(libc::ENOSPC), false)?;
    table.finish()
}

#[test]
fn an_error_at_any_operation_of_a_start() -> Result<()> {
    let _kept = before()?;
    let mut table = Table::new("a start, with an error at every operation of it");
    START.fail_everywhere(&mut table, "EIO once", Fault::Once(libc::EIO), true)?;
    START.fail_everywhere(&mut table, "full from then on", Fault::ChangesFromThenOn(libc::ENOSPC), true)?;
    table.finish()
}

#[test]
fn a_volume_that_hangs_or_goes_away() -> Result<()> {
    let _kept = before()?;
    let mut table = Table::new("a volume that hangs or goes away, at one operation of each kind");
    for (when, life, costs_nothing) in [("stop", STOP, false), ("start", LONG_START, true)] {
        let places = life.one_of_each()?;
        for (name, fault) in [
            ("hangs for ever", Fault::Hang),
            ("hangs for 5 s", Fault::Slow(Duration::from_secs(5))),
            ("read-only from then on", Fault::ChangesFromThenOn(libc::EROFS)),
            ("ESTALE from then on", Fault::FromThenOn(libc::ESTALE)),
        ] {
            life.fail_at(&mut table, &format!("{when}: {name}"), fault, &places, costs_nothing);
        }
    }
    table.finish()
}

#[test]
fn a_volume_that_hangs_when_a_dump_begins() -> Result<()> {
    let _kept = before()?;
    let mut table =
        Table::new("a volume that hangs for ever, while what CRIU and the agent write is created");
    let ops = (STOP.case)(Box::new(Faults::count))?.ops;
    let created = (1..).zip(&ops).filter(|(_, op)| matches!(op, Op::MkDir | Op::Create));
    // Also just before, and just after.
    let places: BTreeSet<usize> = created.take(8).flat_map(|(n, _)| [n - 1, n, n + 1]).collect();
    let places: Vec<usize> = places.into_iter().filter(|n| *n > 0).collect();
    STOP.fail_at(&mut table, "hangs for ever", Fault::Hang, &places, false);
    table.finish()
}

#[test]
fn a_start_that_must_not_wait_says_so_and_exits() -> Result<()> {
    let binary = cargo_bin("crik-agent", "crik", &["fault-points"])?;
    // Half an hour in six seconds.
    for (config, hurried) in [("onVolumeUnavailable: fail", "1"), ("onVolumeUnavailable: wait", "300")] {
        let volume = before()?.volume.faulty_copy()?;
        let pod = pod(&volume.volume).config(config).binary(&binary);
        let pod = pod.with(|spec| spec.env(HURRY_VARIABLE, hurried));
        volume.faulty.faults.arm(4, Fault::ChangesFromThenOn(libc::EROFS));
        let mut running = pod.start()?;
        let code = running.wait()?;
        ensure!(code == 75 && running.stdout.text().is_empty(), "{code}\n{}", running.transcript());
        let told = running.termination_message()?;
        ensure!(
            told.contains("it is not known what there is to resume") && told.contains("Read-only"),
            "{told}"
        );
    }
    Ok(())
}

#[test]
fn a_volume_is_given_up_when_it_is_silent_and_not_when_it_has_much_to_do() -> Result<()> {
    let volume = before()?.volume.faulty_copy()?;
    // Each step of the start takes longer than the volume may be silent.
    let pod = pod(&volume.volume).config("onVolumeUnavailable: fail");
    volume.faulty.faults.set_round_trip(Duration::from_millis(60));
    let running = pod.start()?;
    resumes(&running, 1)?;
    volume.faulty.faults.set_round_trip(Duration::ZERO);
    ensure!(!running.stderr.text().contains(WAITS), "{}", running.transcript());
    Ok(())
}

/// A program was started without a look at generation 1, since its volume did not answer.
fn unseen(volume: &FaultyVolume, config: &str) -> Result<(Pod, Running)> {
    let pod = pod(&volume.volume).config("onVolumeUnavailable: fresh").config(config);
    volume.faulty.faults.arm(4, Fault::Hang);
    let running = started(&pod)?;
    running.stderr.wait_for("its checkpoints stand apart")?;
    starts_fresh(&running)?;
    volume.faulty.faults.clear();
    Ok((pod, running))
}

#[test]
fn what_has_not_seen_the_checkpoints_never_stands_above_them() -> Result<()> {
    let before = before()?;
    let volume = before.volume.faulty_copy()?;
    let (pod, mut running) = unseen(&volume, "keepGenerations: 1\ninterval: 1s")?;
    wait_for("periodic checkpoints", || (volume.backing.generations("job-0").len() >= 2).then_some(()))?;
    ensure!(stopped(&mut running, &volume.faulty.faults)?.0 == End::Checkpointed, "{}", running.transcript());
    let backing = volume.unmount();
    ensure!(backing.path().join("job-0/generations/00000001").exists(), "the older line is gone");

    // Until a person decides, the next start goes on from what the program had not seen.
    let newest: u64 = json(&backing, &["list"])?["generations"][0]["generation"].as_u64().context("none")?;
    let other = backing.copy()?;
    let next = started(&pod.on(&backing))?;
    resumes(&next, 1)?;
    next.stderr.wait_for("stand apart and are not resumed")?;
    chain::verify(&[before.output.clone(), next.stdout.text()])?;
    let list = crik(&backing, &["list"])?.out;
    let choice = format!("To go on with them and give all others up: crik choose {newest}");
    ensure!(list.contains(&choice) && list.contains("To give them up instead: crik choose 1"), "{list}");
    ensure!(crik(&backing, &["choose", "1"])?.code == Some(75), "a pod has it");

    // A person may choose either.
    let told = crik(&other, &["choose", &newest.to_string()])?;
    ensure!(
        told.out.starts_with(&format!("the next start goes on with checkpoint {newest}; given up: 1")),
        "{}",
        told.out
    );
    let chosen = started(&pod.on(&other))?;
    resumes(&chosen, newest)?;
    chain::verify(&[running.stdout.text(), chosen.stdout.text()])?;
    Ok(())
}

#[test]
fn a_volume_that_hangs_at_the_end_of_a_start_makes_the_agent_deaf_to_nothing() -> Result<()> {
    let _kept = before()?;
    let mut table = Table::new("a volume that hangs for ever at one of the last operations of a start");
    let places = START.places(Fault::Hang)?;
    let last = &places[places.len().saturating_sub(9)..];
    START.fail_at(&mut table, "hangs for ever", Fault::Hang, last, false);
    table.finish()
}

#[test]
fn short_writes_are_completed() -> Result<()> {
    let _kept = before()?;
    let mut table = Table::new("every write writes only half");
    for (name, life) in [("stop", STOP), ("start", START)] {
        table.case(name, || {
            let case = (life.case)(Box::new(Faults::shorten_writes))?;
            ensure!(case.good, "{}", case.said);
            Ok(case.said)
        });
    }
    table.finish()
}

#[test]
fn a_tree_that_is_too_large_for_a_slow_volume_gets_its_sigterm_in_time() -> Result<()> {
    let _kept = before()?;
    let mut table = Table::new(&format!(
        "a slow volume, a grace period of {} s and a reserve of {} s",
        GRACE_PERIOD.as_secs(),
        RESERVE.as_secs()
    ));
    // Slower than the first no container ends in time: the mirror answers a write of 128 KiB when all of it is done, and nobody who waits for
    // that can be killed.
    for (name, bandwidth, good) in
        [("4 kB/s", 4_000, false), ("10 kB/s", 10_000, false), ("20 MB/s", 20_000_000, true)]
    {
        table.case(name, || {
            let case = stop_with(|faults| faults.limit_bandwidth(bandwidth))?;
            ensure!(case.good == good, "{}", case.said);
            Ok(case.said)
        });
    }
    table.finish()
}

#[test]
fn nothing_is_committed_that_a_loss_of_power_could_take() -> Result<()> {
    let _kept = before()?;
    let volume = before()?.volume.faulty_copy()?;
    let generations = inode(&volume.backing, "job-0/generations")?;
    let mut running = settled(&pod(&volume.volume))?;
    volume.faulty.faults.count();
    ensure!(stopped(&mut running, &volume.faulty.faults)?.0 == End::Checkpointed, "{}", running.transcript());
    let log = volume.faulty.faults.log();

    let commit =
        log.iter().position(|one| *one == (Op::Rename, generations)).context("there was no commit")?;
    let (before, after) = log.split_at(commit);
    let not_synced = |changes: &[Op], sync: Op| -> BTreeSet<u64> {
        let last =
            |inode: u64, ops: &[Op]| before.iter().rposition(|(op, at)| *at == inode && ops.contains(op));
        let changed = before.iter().filter(|(op, _)| changes.contains(op)).map(|(_, inode)| *inode);
        changed.filter(|inode| last(*inode, changes) > last(*inode, &[sync])).collect()
    };
    let contents = not_synced(&[Op::Write, Op::SetAttr], Op::FSync);
    ensure!(contents.is_empty(), "the contents of inodes {contents:?} were not durable at the commit");
    // The name that the staging directory has before the commit is nothing to anybody.
    let names = not_synced(&[Op::Create, Op::MkDir, Op::SymLink], Op::FSyncDir);
    let own_hold = before.iter().find(|(op, _)| *op == Op::MkDir).map(|(_, inode)| *inode);
    let names: Vec<u64> = names.into_iter().filter(|inode| Some(*inode) != own_hold).collect();
    ensure!(names.is_empty(), "the names in inodes {names:?} were not durable at the commit");
    let made_durable = after.contains(&(Op::FSyncDir, generations));
    ensure!(made_durable, "the commit itself was not made durable");
    Ok(())
}

fn inode(volume: &Volume, name: &str) -> Result<u64> {
    Ok(std::fs::metadata(volume.path().join(name))?.ino())
}

#[test]
fn a_periodic_commit_that_hangs_makes_the_agent_deaf_to_nothing() -> Result<()> {
    let (volume, network) = (before()?.volume.faulty_copy()?, Network::new()?);
    let controller = Controller::start(&[TestNode::ready("node-a")])?;
    let pod = pod(&volume.volume)
        .config(&format!("nodeStateServerURL: http://{}:{}", network.host(), controller.port()))
        .config("actOn: notice\ninterval: 2s")
        .network(&network);
    let mut running = settled(&pod)?;
    volume.faulty.faults.hang_at(Op::Rename);
    wait_for("the commit to hang", || volume.faulty.faults.hang().then_some(()))?;
    controller.set_nodes(&[TestNode::ready("node-a").shutting_down()])?;
    running.stderr.wait_for("a checkpoint is taken without a SIGTERM")?;
    // In the midst of the checkpoint; the time is the case.
    thread::sleep(Duration::from_secs(2));
    let told = Instant::now();
    running.signal(Signal::SIGTERM)?;
    running.stdout.wait_for("goodbye")?;
    let took = told.elapsed();
    println!("the application got its SIGTERM within {took:?}");
    ensure!(took < GRACE_PERIOD - RESERVE, "{took:?}\n{}", running.transcript());
    volume.faulty.faults.clear();
    ensure!(running.wait()? == 0, "{}", running.transcript());
    Ok(())
}
