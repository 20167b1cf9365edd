//! CRIU may be killed at any moment, by a person or for lack of memory. Whatever it was at, nothing partial is ever
//! resumed; and a dump that the agent itself gives up harms nobody.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use crik_tests::chain;
use crik_tests::pod::{Pod, Process, Running};
use crik_tests::story::{CHECKPOINTED, checkpointed, started};
use crik_tests::table::Table;
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The moments: this many, evenly over the run of a CRIU that nobody disturbs.
const MOMENTS: u32 = 20;

/// Megabytes and children that make CRIU's run long enough to be hit at many different moments.
const SIZE: [&str; 2] = ["50", "30"];

/// How the program ends after its SIGTERM.
const GOODBYE: i32 = 7;

/// What a kubelet waits for after a SIGTERM: the agent's `gracePeriod`, unless a test says otherwise.
const GRACE: Duration = Duration::from_secs(30);

/// How often a run of CRIU may have been measured too long: what else the machine does counts in it.
const MEASURED_TOO_LONG: u32 = 3;

/// How often a moment that lasts a few milliseconds may be missed: on a machine with much to do nearly every second time.
const TRIES: u32 = 25;

fn heavy(volume: &Volume) -> Pod {
    Pod::new(volume, "node-a", &["python3", "/programs/heavy.py", SIZE[0], SIZE[1]])
        // A pod that was killed at the end of its grace period has not given the image directory back.
        .config("decisionTimeout: 1ms\nclaimExpiry: 1s")
        .with(|spec| spec.env("GOODBYE", &GOODBYE.to_string()))
}

/// Runs a case for each moment of what takes `whole`. A case says whether it came in time, and most must: others show nothing.
/// If they do not, it takes less than was measured, and all are run again.
fn at_each_moment(
    what: &str,
    whole: Duration,
    case: impl Fn(Duration) -> Result<(bool, String)>,
) -> Result<()> {
    for halved in 0..=MEASURED_TOO_LONG {
        if most_come_in_time(what, whole / 2u32.pow(halved), &case)? {
            return Ok(());
        }
    }
    bail!("most came too late however early")
}

fn most_come_in_time(
    what: &str,
    whole: Duration,
    case: impl Fn(Duration) -> Result<(bool, String)>,
) -> Result<bool> {
    let mut table = Table::new(&format!("{what} of {whole:.0?}"));
    let mut in_time = 0;
    for moment in 0..=MOMENTS {
        table.case(&format!("{moment}/{MOMENTS}"), || {
            let (hit, said) = case(whole * moment / MOMENTS)?;
            in_time += u32::from(hit);
            Ok(if hit { said } else { format!("too late; {said}") })
        });
    }
    table.finish()?;
    Ok(in_time > MOMENTS / 2)
}

/// How long a dump takes that nobody disturbs.
fn dump_time() -> Result<Duration> {
    let volume = Volume::new()?;
    checkpointed(&heavy(&volume))?;
    let manifest = Volume::manifest(&volume.newest("job-0")?)?;
    Ok(Duration::from_millis(manifest["durationsMs"]["dump"].as_u64().context("no duration")?))
}

/// How long a restore takes that nobody disturbs.
fn restore_time() -> Result<Duration> {
    let volume = Volume::new()?;
    let pod = heavy(&volume);
    checkpointed(&pod)?;
    let running = pod.start()?;
    wait_for("CRIU to be at work", || at_work(&running))?;
    let began = Instant::now();
    running.stderr.wait_for("the application goes on")?;
    Ok(began.elapsed())
}

/// Kills the container's CRIU `after` a while of its work. False if it was done before.
fn kill_criu(running: &Running, after: Duration) -> Result<bool> {
    let criu = wait_for("CRIU to be at work", || at_work(running))?;
    sleep(after);
    Ok(kill(Pid::from_raw(criu.host_pid), Signal::SIGKILL).is_ok())
}

/// True for what CRIU takes for the directory of its images: one of a generation, or one with a socket that gives them.
fn is_of_images(open: &Path) -> bool {
    let served = open.file_name().is_some_and(|name| name.to_string_lossy().contains("images-"));
    open.starts_with("/checkpoints") || served
}

/// The CRIU that has images open; another was asked for its version before.
fn at_work(running: &Running) -> Option<Process> {
    let has_images = |process: &Process| {
        let files = fs::read_dir(format!("/proc/{}/fd", process.host_pid)).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|path| is_of_images(&path))
    };
    let criu =
        running.processes().into_iter().filter(|process| process.name == "criu" && has_images(process));
    // What it restores has its name at first, and ids above its own.
    criu.min_by_key(|process| process.pid)
}

/// Waits for the container's end as a kubelet does, and returns its exit code.
fn end_in_time(running: &mut Running) -> Result<i32> {
    let told = Instant::now();
    while told.elapsed() < GRACE && running.processes().iter().any(|process| process.state != 'Z') {
        sleep(Duration::from_millis(20));
    }
    // An error means that it has ended.
    let _ = running.signal(Signal::SIGKILL);
    running.wait()
}

#[test]
fn whenever_criu_is_killed_in_a_dump_the_next_start_goes_on_from_something_whole() -> Result<()> {
    at_each_moment("kill -9 of CRIU in a dump", dump_time()?, killed_dump)
}

fn killed_dump(after: Duration) -> Result<(bool, String)> {
    let volume = Volume::new()?;
    let first = checkpointed(&heavy(&volume))?;
    let mut second = started(&heavy(&volume))?;
    second.signal(Signal::SIGTERM)?;
    let hit = kill_criu(&second, after)?;
    let (code, said) = (end_in_time(&mut second)?, second.stdout.text());
    let fate = match (code, said.ends_with("goodbye\n")) {
        (CHECKPOINTED, true) => bail!("a checkpoint and a goodbye"),
        (CHECKPOINTED, false) => "checkpointed".to_owned(),
        (GOODBYE, true) => "unharmed: went on and got its SIGTERM".to_owned(),
        (code, _) => format!("harmed: ended with {code}"),
    };
    // That a CRIU is gone is no matter of time.
    ensure!(!second.stderr.text().contains("the volume is too slow"), "{}", second.transcript());
    let committed = code == CHECKPOINTED;
    let third = started(&heavy(&volume))?;
    ensure!(volume.generations("job-0").len() == if committed { 2 } else { 1 }, "another generation");
    let whole =
        if committed { vec![first, said, third.stdout.text()] } else { vec![first, third.stdout.text()] };
    chain::verify(&whole).with_context(|| third.transcript())?;
    Ok((hit, fate))
}

#[test]
fn whenever_a_dump_is_given_up_the_application_goes_on_and_gets_its_sigterm() -> Result<()> {
    at_each_moment("the deadline in a dump", dump_time()? * 5 / 4, given_up)
}

fn given_up(after: Duration) -> Result<(bool, String)> {
    let volume = Volume::new()?;
    let grace = 5_000 + after.as_millis().max(2);
    let mut running = started(&heavy(&volume).config(&format!("gracePeriod: {grace}ms\nreserve: 5s")))?;
    running.signal(Signal::SIGTERM)?;
    let (code, said) = (end_in_time(&mut running)?, running.stdout.text());
    chain::verify(std::slice::from_ref(&said))?;
    if code == CHECKPOINTED {
        return Ok((false, "checkpointed in time".to_owned()));
    }
    ensure!(code == GOODBYE && said.ends_with("goodbye\n"), "harmed: {code}\n{}", running.transcript());
    ensure!(volume.generations("job-0").is_empty(), "a checkpoint and a goodbye");
    let log = running.stderr.text();
    let (_, why) = log.split_once("told to stop: ").context("no reason")?;
    Ok((true, format!("unharmed: {}", why.lines().next().unwrap_or_default())))
}

#[test]
fn whenever_criu_is_killed_in_a_restore_the_tree_runs_whole_or_not_at_all() -> Result<()> {
    at_each_moment("kill -9 of CRIU in a restore", restore_time()?, killed_restore)
}

#[test]
fn what_criu_has_restored_and_traces_makes_no_step_when_it_is_killed() -> Result<()> {
    let mut table = Table::new("kill -9 of CRIU when it traces so many of the tree");
    let mut in_time = 0;
    for traced in (2..=30).step_by(4) {
        table.case(&format!("{traced}"), || {
            let hit = killed_tracer(traced)?;
            in_time += u32::from(hit);
            Ok(if hit { "resumed at the next attempt" } else { "too late" }.to_owned())
        });
    }
    table.finish()?;
    ensure!(in_time >= 4, "most came too late");
    Ok(())
}

fn killed_tracer(traced: usize) -> Result<bool> {
    let volume = Volume::new()?;
    let pod = heavy(&volume);
    let first = checkpointed(&pod)?;
    let second = pod.start()?;
    let criu = wait_for("CRIU to be at work", || at_work(&second))?;
    while tracees(&second, &criu) < traced && fs::exists(format!("/proc/{}", criu.host_pid))? {}
    let hit = kill(Pid::from_raw(criu.host_pid), Signal::SIGKILL).is_ok();
    second.wait_for_lines(crik_tests::story::STEPS)?;
    chain::verify(&[first, second.stdout.text()]).with_context(|| second.transcript())?;
    Ok(hit && second.stderr.text().contains("trying again"))
}

#[test]
fn what_criu_has_let_go_runs_on_when_it_is_killed_before_it_has_said_so() -> Result<()> {
    let mut table = Table::new("kill -9 of CRIU when the tree runs and the agent knows nothing of it");
    for format in ["plain", "chunks"] {
        table.case(format, || {
            let came_in_time =
                (0..TRIES).map(|_| killed_untold(format)).find(|hit| !matches!(hit, Ok(false)));
            ensure!(came_in_time.context("all came too late")??, "none came in time");
            Ok("runs on".to_owned())
        });
    }
    table.finish()
}

/// The agent stands still from when CRIU lets the tree go, and hears of that and of CRIU's end at once. False if CRIU was done before.
fn killed_untold(format: &str) -> Result<bool> {
    let volume = Volume::new()?;
    let pod = heavy(&volume).config(&format!("format: {format}"));
    let first = checkpointed(&pod)?;
    let second = pod.start()?;
    let criu = wait_for("CRIU to be at work", || at_work(&second))?;
    let agent = second.processes().into_iter().find(|process| process.pid == 1).context("no agent")?;
    let agent = Pid::from_raw(agent.host_pid);
    while tracees(&second, &criu) < 2 && fs::exists(format!("/proc/{}", criu.host_pid))? {}
    kill(agent, Signal::SIGSTOP)?;
    wait_for("the tree to run", || {
        let runs = tracees(&second, &criu) == 0;
        runs.then_some(()).or_else(|| answer_once(agent).err().map(drop))
    })?;
    second.wait_for_lines(1)?;
    let has_ended = |process: Process| process.host_pid == criu.host_pid && process.state == 'Z';
    let has_ended = second.processes().into_iter().any(has_ended);
    let hit = kill(Pid::from_raw(criu.host_pid), Signal::SIGKILL).is_ok() && !has_ended;
    kill(agent, Signal::SIGCONT)?;
    second.wait_for_lines(crik_tests::story::STEPS)?;
    second.stderr.wait_for("the application goes on").with_context(|| second.transcript())?;
    chain::verify(&[first, second.stdout.text()]).with_context(|| second.transcript())?;
    Ok(hit)
}

/// Lets the agent go on for so long that it answers CRIU, and not twice.
fn answer_once(agent: Pid) -> nix::Result<()> {
    kill(agent, Signal::SIGCONT)?;
    sleep(Duration::from_micros(300));
    kill(agent, Signal::SIGSTOP)
}

/// How many processes of the container it traces.
fn tracees(running: &Running, criu: &Process) -> usize {
    let line = format!("TracerPid:\t{}\n", criu.host_pid);
    let status = |process: &Process| fs::read_to_string(format!("/proc/{}/status", process.host_pid));
    running
        .processes()
        .iter()
        .filter(|process| status(process).is_ok_and(|text| text.contains(&line)))
        .count()
}

fn killed_restore(after: Duration) -> Result<(bool, String)> {
    let volume = Volume::new()?;
    let pod = heavy(&volume);
    let first = checkpointed(&pod)?;
    let second = pod.start()?;
    let hit = kill_criu(&second, after)?;
    second.wait_for_lines(crik_tests::story::STEPS)?;
    let fresh = second.stderr.text().contains("the application starts fresh");
    let said = second.stdout.text();
    let whole = if fresh { vec![said] } else { vec![first.clone(), said] };
    chain::verify(&whole).with_context(|| second.transcript())?;
    let log = second.stderr.text();
    drop(second);
    // Nothing newer was committed, so the generation is as good as before.
    let third = started(&pod)?;
    chain::verify(&[first, third.stdout.text()]).with_context(|| third.transcript())?;
    let why = log.lines().find_map(|line| line.split_once("is skipped: ")).map_or("", |(_, why)| why);
    Ok((hit, if fresh { format!("started fresh: {why}") } else { "resumed".to_owned() }))
}
