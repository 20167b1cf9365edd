//! `make bench`: what crik adds to CRIU's own time, and what it costs while nothing happens.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::node::Boots;
use crik_tests::pod::{Pod, Running};
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// Megabytes of memory and how often to measure with them.
const SIZES: [(u32, usize); 3] = [(10, 9), (200, 7), (2048, 5)];

/// How long an idle agent is watched.
const IDLE: Duration = Duration::from_secs(10);

/// How often the start of `true` is measured.
const STARTS: usize = 31;

/// How many threads the program has whose checkpoint is made durable far away, and how long each round trip there takes.
const FAR: (usize, Duration) = (2000, Duration::from_millis(3));

/// How often the trial at a start is measured.
const TRIALS: usize = 5;

fn main() -> Result<()> {
    let wanted = sizes(&std::env::args().skip(1).collect::<Vec<_>>())?;
    println!(
        "times in milliseconds, medians; plain is criu, each time into a new directory that is synced, in the same container\n"
    );
    println!(
        "{:>8} {:>12} {:>12} {:>7} {:>14} {:>14} {:>7}",
        "memory", "plain dump", "crik stop", "ratio", "plain restore", "crik start", "ratio"
    );
    // `make bench SIZES="10 200"` measures some sizes only.
    for (megabytes, rounds) in wanted {
        compare(megabytes, rounds)?;
    }
    println!("\nstop: SIGTERM to the container's exit; start: the runtime's call to the first new step");
    far()?;
    trial()?;
    idle()?;
    starts()
}

/// The sizes that are named, or all.
fn sizes(named: &[String]) -> Result<Vec<(u32, usize)>> {
    let known = SIZES.map(|(megabytes, _)| megabytes.to_string());
    let unknown: Vec<&str> =
        named.iter().map(String::as_str).filter(|name| !known.iter().any(|one| one == name)).collect();
    ensure!(unknown.is_empty(), "nothing is known of {}; there are {}", unknown.join(" "), known.join(" "));
    Ok(SIZES.into_iter().filter(|(size, _)| named.is_empty() || named.contains(&size.to_string())).collect())
}

/// The commit of a program with many threads, each of which has a file in the image, on a volume that is far away.
fn far() -> Result<()> {
    let (threads, round_trip) = FAR;
    let volume = Volume::new()?.far_copy()?;
    let pod = Pod::new(&volume.volume, "node-a", &["python3", "/programs/threads.py", &threads.to_string()]);
    let mut running = pod.config("gracePeriod: 5m").start()?;
    running.wait_for_lines(20)?;
    volume.faulty.faults.set_round_trip(round_trip);
    running.signal(Signal::SIGTERM)?;
    let code = running.wait()?;
    ensure!(code == 143, "exit code {code}\n{}", running.transcript());
    let manifest = Volume::manifest(&volume.backing.newest("job-0")?)?;
    let files = manifest["files"].as_object().map_or(0, serde_json::Map::len);
    println!(
        "\n{threads} threads on a volume at {round_trip:?} a round trip: {files} files are durable in {} ms, after a dump of {} ms",
        manifest["durationsMs"]["durable"], manifest["durationsMs"]["dump"]
    );
    Ok(())
}

/// The trial that is made beside a program when it starts: two small processes are dumped on the volume and restored.
fn trial() -> Result<()> {
    let (near, far) = (Volume::new()?, Volume::new()?.far_copy()?);
    let round_trip = FAR.1;
    far.faulty.faults.set_round_trip(round_trip);
    let took = |volume: &Volume| {
        let rounds = (0..TRIALS).map(|_| {
            let running = Pod::new(volume, "node-a", &["sleep", "infinity"]).start()?;
            let line = wait_for("the trial", || {
                let said = running.stderr.text();
                said.lines().find(|line| line.contains("for a trial")).map(ToOwned::to_owned)
            })?;
            let ms = line.rsplit_once("ms=").context(line.clone())?.1;
            Ok(ms.split_whitespace().next().context("no number")?.parse()?)
        });
        rounds.collect::<Result<Vec<f64>>>().map(median)
    };
    println!(
        "\nthe trial beside a program that starts: {:.0} ms, on a volume at {round_trip:?} a round trip {:.0} ms",
        took(&near)?,
        took(&far.volume)?
    );
    Ok(())
}

/// Both ways take turns, so that a slow moment of the machine meets both.
fn compare(megabytes: u32, rounds: usize) -> Result<()> {
    let size = megabytes.to_string();
    let command = ["python3", "/programs/memory.py", &size];
    let (ours, theirs) = (Volume::new()?, Volume::new()?);
    let crik =
        Pod::new(&ours, "node-a", &command).config("keepGenerations: 1\nmaxRestores: 1000\ngracePeriod: 5m");
    let plain = Pod::new(&theirs, "node-a", &[]).with(|spec| spec.command(&["/programs/plain.sh"], &command));
    // On a node that was booted later, a program that CRIU alone brings back stands still.
    let [crik, plain] = [crik, plain].map(|pod| pod.boots(Boots::EverOlder));
    let (mut stops, mut starts) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..=rounds {
        for (index, pod) in [&plain, &crik].into_iter().enumerate() {
            let (start, stop) = cycle(pod, [&theirs, &ours][index], [0, 143][index])?;
            // In the first round nothing is there to restore, and caches are cold.
            if round > 0 {
                starts[index].push(start);
                stops[index].push(stop);
            }
        }
    }
    let [plain_stop, crik_stop] = stops.map(median);
    let [plain_start, crik_start] = starts.map(median);
    println!(
        "{:>6}MB {plain_stop:>12.0} {crik_stop:>12.0} {:>7.2} {plain_start:>14.0} {crik_start:>14.0} {:>7.2}",
        megabytes,
        crik_stop / plain_stop,
        crik_start / plain_start
    );
    Ok(())
}

/// Starts the pod, lets it make some steps and stops it; returns the two times.
fn cycle(pod: &Pod, volume: &Volume, expected: i32) -> Result<(f64, f64)> {
    let mut running = pod.start()?;
    running.wait_for_lines(20)?;
    let first = running.stdout.first_at().context("nothing was written")?;
    let start = milliseconds(first.duration_since(running.started));
    // Neither pays for what the disk still has to do from before.
    wait_for("the older image to be removed", || (images(volume) <= 1).then_some(()))?;
    nix::unistd::sync();
    let began = Instant::now();
    running.signal(Signal::SIGTERM)?;
    let code = running.wait()?;
    let stop = milliseconds(began.elapsed());
    ensure!(code == expected, "exit code {code}\n{}", running.transcript());
    Ok((start, stop))
}

/// How many images there are on a volume, of either kind.
fn images(volume: &Volume) -> usize {
    let plain = fs::read_dir(volume.path().join("plain")).into_iter().flatten().flatten();
    let plain = plain.filter(|entry| entry.path().is_dir()).count();
    volume.generations("job-0").len() + plain
}

/// An agent that supervises a program which sleeps.
fn idle() -> Result<()> {
    let volume = Volume::new()?;
    let running = Pod::new(&volume, "node-a", &["sleep", "1000"]).start()?;
    running.stderr.wait_for("the application starts fresh")?;
    // Until the checks at the start are over, which end a thread of theirs after ten idle seconds.
    thread::sleep(Duration::from_secs(12));
    let before = switches(&running)?;
    thread::sleep(IDLE);
    let wakes = switches(&running)? - before;
    println!("\nidle agent: {} KiB resident, {wakes} wake-ups in {IDLE:?}", status(&running, "VmRSS:")?);
    Ok(())
}

fn switches(running: &Running) -> Result<u64> {
    status(running, "voluntary_ctxt_switches:")
}

/// A number of /proc/PID/status of the container's first process.
fn status(running: &Running, field: &str) -> Result<u64> {
    let agent = running.processes().into_iter().find(|process| process.pid == 1).context("no agent")?;
    let status = fs::read_to_string(format!("/proc/{}/status", agent.host_pid))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    Ok(line.split_whitespace().next().context("no number")?.parse()?)
}

fn starts() -> Result<()> {
    let volume = Volume::new()?;
    let crik = Pod::new(&volume, "node-a", &["true"]).only_config("");
    let plain = Pod::new(&volume, "node-a", &[]).with(|spec| spec.command(&["true"], &[]));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STARTS {
        for (index, pod) in [&plain, &crik].into_iter().enumerate() {
            let mut running = pod.start()?;
            running.wait()?;
            times[index].push(milliseconds(running.started.elapsed()));
        }
    }
    let [plain, crik] = times.map(median);
    println!(
        "`crik run -- true`: {crik:.1} ms, `true`: {plain:.1} ms, difference {:.1} ms (container and all)",
        crik - plain
    );
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
