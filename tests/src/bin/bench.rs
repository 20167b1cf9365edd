//! `make bench`: what crik adds to CRIU's own time, and what it costs while nothing happens.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crik_tests::control_plane::Certificates;
use crik_tests::controller::{Controller, TestNode};
use crik_tests::measure::{CPU_SHARES, agent, first_step, load, median, milliseconds, number, status};
use crik_tests::network::Network;
use crik_tests::node::Boots;
use crik_tests::pod::{Pod, Running};
use crik_tests::spec::bind;
use crik_tests::volume::Volume;
use crik_tests::wait::wait_for;
use nix::sys::signal::Signal;

/// Megabytes of memory, how often a program with them is started and stopped, and how often it is started besides: one start takes
/// twice as long as another of the same kind, depending on where the machine has its memory.
const SIZES: [(u32, usize, usize); 3] = [(10, 9, 12), (200, 7, 12), (2048, 5, 10)];

/// How long it takes until an agent is idle: the checks at its start end a thread of theirs after ten seconds, and after fifteen it
/// looks for the first time whether the volume has room.
const SETTLES: Duration = Duration::from_secs(20);

/// How long an idle agent is watched.
const IDLE: Duration = Duration::from_secs(10);

/// How many megabytes the program has of which the idle agent was resumed or has taken checkpoints.
const IDLE_MEGABYTES: &str = "200";

/// How often the start of `true` is measured.
const STARTS: usize = 31;

/// How many threads the program has whose checkpoint is made durable far away, and how long each round trip there takes.
const FAR: (usize, Duration) = (2000, Duration::from_millis(3));

/// How often the trial at a start is measured.
const TRIALS: usize = 5;

fn main() -> Result<()> {
    let wanted = sizes(&std::env::args().skip(1).collect::<Vec<_>>())?;
    let before = load()?;
    println!(
        "times in milliseconds, medians; plain is criu, each time into a new directory that is synced, in the same container\n"
    );
    println!(
        "{:>8} {:>12} {:>12} {:>7} {:>14} {:>14} {:>7}",
        "memory", "plain dump", "crik stop", "ratio", "plain restore", "crik start", "ratio"
    );
    // `make bench SIZES="10 200"` measures some sizes only.
    for (megabytes, rounds, starts) in wanted {
        compare(megabytes, rounds, starts)?;
    }
    println!("\nstop: SIGTERM to the container's exit; start: the runtime's call to the first new step");
    println!("the machine's load before and after: {before}, {}", load()?);
    far()?;
    trial()?;
    idle()?;
    starts()
}

/// The sizes that are named, or all.
fn sizes(named: &[String]) -> Result<Vec<(u32, usize, usize)>> {
    let known = SIZES.map(|(megabytes, ..)| megabytes.to_string());
    let unknown: Vec<&str> =
        named.iter().map(String::as_str).filter(|name| !known.iter().any(|one| one == name)).collect();
    ensure!(unknown.is_empty(), "nothing is known of {}; there are {}", unknown.join(" "), known.join(" "));
    Ok(SIZES.into_iter().filter(|(size, ..)| named.is_empty() || named.contains(&size.to_string())).collect())
}

/// The commit of a program with many threads, each of which has a file in the image, on a volume that is far away.
fn far() -> Result<()> {
    let (threads, round_trip) = FAR;
    let volume = Volume::new()?.far_copy()?;
    let pod = Pod::new(&volume.volume, "node-a", &["python3", "/programs/threads.py", &threads.to_string()]);
    let mut running = pod.config("gracePeriod: 5m").start()?;
    let program = || running.processes().into_iter().find(|process| process.name == "python3");
    let threads_of = |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let all = || program().filter(|program| threads_of(program.host_pid) >= threads);
    wait_for("all threads of the program", all)?;
    volume.faulty.faults.set_round_trip(round_trip);
    let began = Instant::now();
    running.signal(Signal::SIGTERM)?;
    let code = loop {
        // CRIU's dump takes some round trips for each thread, which is more than a test waits for.
        if let Some(code) = running.poll() {
            break code;
        }
        ensure!(began.elapsed() < Duration::from_secs(300), "it does not end\n{}", running.transcript());
        thread::sleep(Duration::from_millis(50));
    };
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
        let rounds = (0..TRIALS).map(|round| {
            // Another workload each time: what comes after one that was killed first waits until it is known to be gone.
            let name = format!("job-{round}");
            let pod = Pod::new(volume, "node-a", &["sleep", "infinity"]).with(|spec| {
                spec.env("POD_NAME", &name);
                spec.name = name;
            });
            let running = pod.start()?;
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
fn compare(megabytes: u32, rounds: usize, further: usize) -> Result<()> {
    let size = megabytes.to_string();
    let command = ["python3", "/programs/memory.py", &size];
    let (ours, theirs) = (Volume::new()?, Volume::new()?);
    let crik =
        Pod::new(&ours, "node-a", &command).config("keepGenerations: 1\nmaxRestores: 1000\ngracePeriod: 5m");
    let plain = Pod::new(&theirs, "node-a", &[]).with(|spec| spec.command(&["/programs/plain.sh"], &command));
    // On a node that was booted later, a program that CRIU alone brings back stands still.
    let [crik, plain] =
        [crik, plain].map(|pod| pod.boots(Boots::EverOlder).with(|spec| spec.cpu_shares = Some(CPU_SHARES)));
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
    for _ in 0..further {
        for (index, pod) in [&plain, &crik].into_iter().enumerate() {
            starts[index].push(start(pod)?);
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
    let start = first_step(&running)?;
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

/// Starts a container in the pod, and ends it as soon as the program goes on; returns the time that took. The image stays as it is.
fn start(pod: &Pod) -> Result<f64> {
    let mut running = pod.start()?;
    running.wait_for_lines(1)?;
    let start = first_step(&running)?;
    running.signal(Signal::SIGKILL)?;
    running.wait()?;
    Ok(start)
}

/// How many images there are on a volume, of either kind.
fn images(volume: &Volume) -> usize {
    let plain = fs::read_dir(volume.path().join("plain")).into_iter().flatten().flatten();
    let plain = plain.filter(|entry| entry.path().is_dir()).count();
    volume.generations("job-0").len() + plain
}

/// Agents whose programs nobody disturbs, in the ways in which they may have come to that.
fn idle() -> Result<()> {
    let (volumes, network) = ([(); 4].map(|()| Volume::new()), Network::new()?);
    let [fresh, followed, resumed, periodic] = volumes;
    let (fresh, followed, resumed, periodic) = (fresh?, followed?, resumed?, periodic?);
    let access = tempfile::tempdir()?;
    let controller = secure_controller(access.path(), &network)?;
    let url = format!("nodeStateServerURL: https://{}:{}", network.host(), controller.port());
    let secure = Pod::new(&followed, "node-a", &["sleep", "1000"])
        .config(&format!("{url}\nnodeStateServerCAFile: /access/ca.crt"))
        .network(&network)
        .with(|spec| spec.mounts.push(bind(access.path(), "/access", "ro")));
    let program = ["python3", "/programs/memory.py", IDLE_MEGABYTES];
    let once = Pod::new(&resumed, "node-a", &program).config("gracePeriod: 5m");
    cycle(&once, &resumed, 143)?;
    let often = Pod::new(&periodic, "node-a", &program).config("interval: 10s");
    let agents = [
        ("started a program", Pod::new(&fresh, "node-a", &["sleep", "1000"])),
        ("follows its node by HTTPS", secure),
        ("resumed a program of 200 MB", once),
        ("takes a checkpoint of 200 MB every ten seconds", often),
    ];
    let agents = agents.map(|(what, pod)| pod.start().map(|running| (what, running)));
    let agents = agents.into_iter().collect::<Result<Vec<_>>>()?;
    thread::sleep(SETTLES);
    let before = agents.iter().map(|(_, running)| switches(running)).collect::<Result<Vec<_>>>()?;
    thread::sleep(IDLE);
    println!();
    for ((what, running), before) in agents.iter().zip(before) {
        let (resident, proportional) = (status(running, "VmRSS:")?, proportional(running)?);
        let wakes = switches(running)? - before;
        println!(
            "idle agent that {what}: {resident} KiB resident (its share: {proportional} KiB), {wakes} wake-ups in {IDLE:?}"
        );
    }
    Ok(())
}

/// A controller whose nodes are well, and that serves HTTPS at the network's address; the authority is put into `directory`.
fn secure_controller(directory: &std::path::Path, network: &Network) -> Result<Controller> {
    let pair = Certificates::new(directory)?.server("controller", &[network.host().to_owned()])?;
    let (certificate, key) = (pair.certificate.display().to_string(), pair.key.display().to_string());
    let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    Controller::start_flagged(&[TestNode::ready("node-a")], &flags)
}

/// What the agent takes of the machine's memory: of what it shares with others its part only.
fn proportional(running: &Running) -> Result<u64> {
    number(&fs::read_to_string(format!("/proc/{}/smaps_rollup", agent(running)?))?, "Pss:")
}

fn switches(running: &Running) -> Result<u64> {
    status(running, "voluntary_ctxt_switches:")
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
