//! Whatever a program waits for, it goes on waiting for that on a node that was booted at another time, and by its own clocks
//! nothing has happened but that a moment has passed. One that cannot go on so is not resumed in silence.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::compile::compiled;
use crik_tests::node::Boots;
use crik_tests::pod::Pod;
use crik_tests::rootfs::Root;
use crik_tests::spec::{Spec, bind};
use crik_tests::story::{CHECKPOINTED, checkpointed, ends_with, resumes, started, starts_fresh};
use crik_tests::ticks::{Move, ticks, wait_for_each};
use crik_tests::volume::Volume;

/// Younger, older, younger.
const MOVES: u64 = 3;

/// What the agent says at the start of how clocks will go on.
const LIBRARY: &str = "by crik's library";
const KERNEL: &str = "by the kernel";

/// Moves a program again and again, which waits in these ways.
fn goes_on(pod: &Pod, ways: &[&str], told: &str) -> Result<()> {
    goes_on_in(&[(pod, told)], ways)
}

/// The same, from one kind of pod to the next.
fn goes_on_in(pods: &[(&Pod, &str)], ways: &[&str]) -> Result<()> {
    let mut before: Option<(Instant, String)> = None;
    for (generation, (pod, told)) in (0..=MOVES).zip(pods.iter().cycle()) {
        let mut running = pod.start()?;
        if generation > 0 {
            resumes(&running, generation)?;
        }
        wait_for_each(&running, ways)?;
        if let Some((from, before)) = before {
            Move { from, to: Instant::now() }.check(&before, &running.stdout.text())?;
        }
        running.stderr.wait_for(told).with_context(|| running.transcript())?;
        let from = Instant::now();
        wait_for_each(&running, ways)?;
        ends_with(&mut running, CHECKPOINTED)?;
        // A program that is told to stop has the same exit code.
        ensure!(running.stderr.text().contains("is durable"), "no checkpoint\n{}", running.stderr.text());
        before = Some((from, running.stdout.text()));
    }
    Ok(())
}

/// The same in a pod that may and in one that may not have a time namespace.
fn goes_on_either_way(command: &[&str], ways: &[&str], change: impl Fn(&mut Spec)) -> Result<()> {
    let pod = |volume| Pod::new(volume, "node-a", command).with(&change);
    let [one, other] = [Volume::new()?, Volume::new()?];
    goes_on(&pod(&one), ways, LIBRARY).context("by the library")?;
    goes_on(&pod(&other).with(with_user_namespace), ways, KERNEL).context("by the kernel")
}

/// What a pod with `hostUsers: false` may be given, since it counts in that pod alone.
fn with_user_namespace(spec: &mut Spec) {
    spec.user_namespace = true;
    with_capabilities(spec);
}

fn with_capabilities(spec: &mut Spec) {
    spec.capabilities.extend(["CAP_SYS_ADMIN", "CAP_SYS_TIME"].map(str::to_owned));
}

fn with_runtimes(spec: &mut Spec) {
    spec.root = Root::Runtimes;
}

/// Where a pod has the programs that were compiled for it.
const PROGRAMS: &str = "/volume";

/// Mounts the directory of a program; returns its path there.
fn mounted(program: &Path) -> (String, impl Fn(&mut Spec) + use<>) {
    let mount = bind(program.parent().unwrap_or(program), PROGRAMS, "ro");
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    (format!("{PROGRAMS}/{name}"), move |spec: &mut Spec| spec.mounts.push(mount.clone()))
}

#[test]
fn python() -> Result<()> {
    let ways =
        ["sleep", "event", "condition", "queue", "select", "epoll", "timerfd", "asyncio", "posix-timer"];
    goes_on_either_way(&["python3", "/programs/waits/waits.py"], &ways, |_| {})
}

#[test]
fn node() -> Result<()> {
    let ways = ["timeout", "interval", "promise", "atomics"];
    // Its event loop makes a ring of io_uring where it may.
    goes_on_either_way(&["node", "/programs/waits/waits.js"], &ways, with_runtimes)
}

#[test]
fn java() -> Result<()> {
    let ways = ["sleep", "park-nanos", "wait", "condition", "queue", "semaphore", "scheduled", "virtual"];
    // Its classes on the volume, and none of the files that it makes in the container's layer.
    let script = "javac -d /checkpoints/classes /programs/waits/Waits.java &&
        exec java -XX:-UsePerfData -XX:TieredStopAtLevel=1 -Xmx64m -cp /checkpoints/classes Waits";
    goes_on_either_way(&["sh", "-c", script], &ways, with_runtimes)
}

#[test]
fn ruby() -> Result<()> {
    let ways = ["sleep", "condition", "queue", "select", "timeout"];
    goes_on_either_way(&["ruby", "/programs/waits/waits.rb"], &ways, with_runtimes)
}

#[test]
fn go() -> Result<()> {
    runs(&compiled("waits/waits.go")?, &["sleep", "ticker", "after", "timer", "context", "after-func"])
}

/// What is written into the vDSO of a tree that is not root's takes rights that the agent has by its file.
#[test]
fn go_where_the_container_does_not_run_as_root() -> Result<()> {
    let (volume, (path, mount)) = (Volume::new()?, mounted(&compiled("waits/waits.go")?));
    let pod = Pod::new(&volume, "node-a", &[&path]).with(mount).ordinary_user(1000)?;
    goes_on(&pod, &["sleep", "ticker", "timer"], LIBRARY)
}

#[test]
fn cpp() -> Result<()> {
    let ways = [
        "sleep-for",
        "sleep-until",
        "condition",
        "condition-for",
        "mutex",
        "shared-mutex",
        "future",
        "semaphore",
    ];
    runs(&compiled("waits/waits.cpp")?, &ways)
}

#[test]
fn rust() -> Result<()> {
    let ways = ["sleep", "park", "condition", "channel", "tokio-sleep", "tokio-timeout", "tokio-interval"];
    runs(Path::new(env!("CARGO_BIN_EXE_waits")), &ways)
}

fn runs(program: &Path, ways: &[&str]) -> Result<()> {
    let (path, mount) = mounted(program);
    goes_on_either_way(&[&path], ways, mount)
}

#[test]
fn from_pods_that_the_kernel_helps_to_others_and_back() -> Result<()> {
    for (source, ways) in [
        ("waits/waits.go", ["sleep", "ticker", "timer"]),
        ("waits/waits.cpp", ["condition", "mutex", "sleep-until"]),
    ] {
        let (path, mount) = mounted(&compiled(source)?);
        let volume = Volume::new()?;
        let ordinary = Pod::new(&volume, "node-a", &[&path]).with(mount);
        let helped = ordinary.clone().with(with_user_namespace);
        goes_on_in(&[(&ordinary, LIBRARY), (&helped, KERNEL)], &ways).context(source)?;
    }
    Ok(())
}

#[test]
fn the_two_capabilities_without_a_user_namespace_are_enough() -> Result<()> {
    let (path, mount) = mounted(&compiled("waits/static.c")?);
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &[&path, "until"]).with(mount).with(with_capabilities);
    goes_on(&pod, &["until"], KERNEL)
}

/// A pod whose program nobody but the kernel can help, and has been told that.
fn helpless(volume: &Volume, policy: &str) -> Result<(Pod, String)> {
    let (path, mount) = mounted(&compiled("waits/static.c")?);
    // The other way round there is nothing to help with.
    let pod = Pod::new(volume, "node-a", &[&path, "until"]).with(mount).boots(Boots::YoungerFirst);
    let pod = pod.config(&format!("onClockBack: {policy}"));
    let mut running = pod.start()?;
    wait_for_each(&running, &["until"])?;
    running.stderr.wait_for("waits-static-c")?;
    ensure!(running.stderr.text().contains("linked statically"), "{}", running.transcript());
    ends_with(&mut running, CHECKPOINTED)?;
    Ok((pod, running.stdout.text()))
}

#[test]
fn a_program_that_would_stand_still_for_longer_than_it_has_run_starts_fresh() -> Result<()> {
    let volume = Volume::new()?;
    let (pod, _) = helpless(&volume, "auto")?;
    let running = pod.start()?;
    starts_fresh(&running)?;
    let said = running.stderr.text();
    ensure!(said.contains("may stand still for 1day 2h; a fresh start loses "), "{said}");
    wait_for_each(&running, &["until"])
}

#[test]
fn on_an_older_node_it_goes_on() -> Result<()> {
    let volume = Volume::new()?;
    let (pod, _) = helpless(&volume, "refuse")?;
    let pod = pod.boots(Boots::OlderFirst);
    let running = pod.start()?;
    resumes(&running, 1)?;
    wait_for_each(&running, &["until"])
}

#[test]
fn whoever_wants_it_resumed_all_the_same_gets_that_and_a_warning() -> Result<()> {
    let volume = Volume::new()?;
    let (pod, _) = helpless(&volume, "resume")?;
    let running = pod.start()?;
    resumes(&running, 1)?;
    running.stderr.wait_for("resumed all the same")
}

#[test]
fn whoever_wants_no_risk_gets_none() -> Result<()> {
    let volume = Volume::new()?;
    let (pod, _) = helpless(&volume, "refuse")?;
    starts_fresh(&pod.start()?)
}

#[test]
fn what_is_frozen_before_it_has_the_library_gets_it_when_it_goes_on() -> Result<()> {
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &["python3", "/programs/loading.py"]).config("onClockBack: refuse");
    for _ in 0..MOVES {
        checkpointed(&pod)?;
    }
    let running = started(&pod)?;
    resumes(&running, MOVES)?;
    running.exec(&["touch", "/tmp/go"])?;
    running.stderr.wait_for("ended with 0\nended with 0\n").with_context(|| running.transcript())
}

#[test]
fn the_kernel_helps_everybody() -> Result<()> {
    let (path, mount) = mounted(&compiled("waits/static.c")?);
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &[&path, "until"]).with(mount).with(with_user_namespace);
    goes_on(&pod.config("onClockBack: refuse"), &["until"], KERNEL)
}

#[test]
fn a_static_program_that_waits_for_a_time_from_now_on_keeps_its_clock() -> Result<()> {
    let (path, mount) = mounted(&compiled("waits/static.c")?);
    let volume = Volume::new()?;
    let pod = Pod::new(&volume, "node-a", &[&path]).with(mount).config("onClockBack: resume");
    goes_on(&pod, &["poll"], "linked statically")
}

/// Makes the first generation one of a release that told no more of the clocks than CLOCK_MONOTONIC in seconds.
fn as_of_an_earlier_release(volume: &Volume) -> Result<()> {
    let generation = volume.path().join("job-0/generations/00000001");
    let mut manifest = Volume::manifest(&generation)?;
    let clocks =
        manifest.as_object_mut().and_then(|manifest| manifest.remove("clocks")).context("no clocks")?;
    let seconds = clocks["told"]["monotonic"].as_i64().context("no clock")? / 1_000_000_000;
    ensure!(manifest["monotonicSeconds"] == seconds, "{manifest}");
    Volume::put_manifest(&generation, &manifest)
}

#[test]
fn a_checkpoint_of_an_earlier_release_goes_on_by_the_kernel() -> Result<()> {
    let volume = Volume::new()?;
    let (pod, before) = helpless(&volume, "refuse")?;
    as_of_an_earlier_release(&volume)?;
    let (from, running) = (Instant::now(), pod.with(with_user_namespace).start()?);
    resumes(&running, 1)?;
    wait_for_each(&running, &["until"])?;
    let gone_on = tick_after(&before, &running.stdout.text())?;
    ensure!(gone_on.as_secs() <= from.elapsed().as_secs() + 1, "its clock has jumped by {gone_on:?}");
    Ok(())
}

#[test]
fn without_the_kernel_it_is_resumed_as_that_release_did_with_a_warning() -> Result<()> {
    let volume = Volume::new()?;
    let (pod, _) = helpless(&volume, "auto")?;
    as_of_an_earlier_release(&volume)?;
    let running = pod.start()?;
    resumes(&running, 1)?;
    running.stderr.wait_for("whatever waits until a time of the clock may stand still for 1day 2h")
}

/// How much later a program was after a move than before it, by its own clock.
fn tick_after(before: &str, after: &str) -> Result<Duration> {
    let at = |output: &str, last: bool| {
        let ticks = ticks(output).remove("until").unwrap_or_default();
        if last { ticks.last().copied() } else { ticks.first().copied() }
    };
    let (before, after) =
        (at(before, true).context("no tick before")?, at(after, false).context("no tick after")?);
    // It knew whole seconds only.
    Ok((after.monotonic + Duration::from_secs(1)).saturating_sub(before.monotonic))
}
