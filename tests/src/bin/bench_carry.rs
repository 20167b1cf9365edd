//! `make bench-carry`: what it costs a frozen program that the files of its container go along, and a stop as a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use crik_tests::pod::{Pod, Running};
use crik_tests::volume::Volume;
use nix::sys::signal::Signal;

/// Directories and files in each, which the image has besides.
const IMAGE: (usize, usize) = (8_000, 9);

/// Megabytes of memory and how often to measure with them.
const SIZES: [(u32, usize); 3] = [(10, 61), (200, 31), (1024, 15)];

/// How many files of 10 kB the program has changed.
const CHANGED: usize = 100;

fn main() -> Result<()> {
    let (directories, each) = IMAGE;
    let layer = image()?;
    println!(
        "an image of {} files besides Debian, of which {CHANGED} are changed; milliseconds, means of the middle half (and the longest)\n",
        directories * each
    );
    println!(
        "{:>8} {:>20} {:>20} {:>7} {:>12} {:>12} {:>7}",
        "memory", "frozen without", "frozen with", "ratio", "stop without", "stop with", "ratio"
    );
    for (megabytes, rounds) in SIZES {
        compare(megabytes, rounds, layer.path())?;
    }
    Ok(())
}

/// A layer with many small files.
fn image() -> Result<tempfile::TempDir> {
    let layer = tempfile::Builder::new().prefix("crik-image-").tempdir_in("/var/tmp")?;
    let (directories, each) = IMAGE;
    for directory in 0..directories {
        let path: PathBuf = layer.path().join(format!("usr/lib/bench/{}/{directory}", directory % 100));
        fs::create_dir_all(&path)?;
        (0..each).try_for_each(|file| fs::write(path.join(file.to_string()), "x"))?;
    }
    Ok(layer)
}

/// Both ways take turns, so that a slow moment of the machine meets both.
fn compare(megabytes: u32, rounds: usize, layer: &Path) -> Result<()> {
    let change = format!(
        "n=0; while [ $n -lt {CHANGED} ]; do head -c 10000 /dev/urandom > /usr/lib/bench/7/changed-$n; n=$((n + 1)); done; \
         exec python3 /programs/memory.py {megabytes}"
    );
    let volumes = [Volume::new()?, Volume::new()?];
    let configs = ["carry: {layer: false, memory: false, emptyDirs: false}", "carry: {layer: true}"];
    let pods: Vec<Pod> = volumes
        .iter()
        .zip(configs)
        .map(|(volume, config)| {
            Pod::new(volume, "node-a", &["sh", "-c", &change])
                .layer(layer)
                .config(&format!("{config}\nkeepGenerations: 1\nmaxRestores: 1000\ngracePeriod: 5m"))
        })
        .collect();
    let (mut frozen, mut stops) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut running = pods.iter().map(started).collect::<Result<Vec<_>>>()?;
    for _ in 0..rounds {
        for (index, pod) in running.iter().enumerate() {
            frozen[index].push(pause(pod)?);
        }
    }
    for _ in 0..rounds / 3 {
        for (index, pod) in pods.iter().enumerate() {
            stops[index].push(stop(&mut running[index])?);
            running[index] = started(pod)?;
        }
    }
    let [(without, worst_without), (with, worst)] = frozen.map(usual);
    let [(stop_without, _), (stop_with, _)] = stops.map(usual);
    println!(
        "{megabytes:>6}MB {without:>11.1} ({worst_without:>6.0}) {with:>11.1} ({worst:>6.0}) {:>7.2} {stop_without:>12.0} {stop_with:>12.0} {:>7.2}",
        with / without,
        stop_with / stop_without
    );
    Ok(())
}

fn started(pod: &Pod) -> Result<Running> {
    let running = pod.start()?;
    running.wait_for_lines(20)?;
    Ok(running)
}

/// For how long the program stands still in a checkpoint after which it goes on.
fn pause(pod: &Running) -> Result<f64> {
    nix::unistd::sync();
    let (code, said, error) = pod.exec(&["crik", "checkpoint", "--leave-running"])?;
    ensure!(code == Some(0), "{error}\n{}", pod.transcript());
    let words = said.split_once("stood still for ").and_then(|(_, rest)| rest.split_once(" ms"));
    Ok(words.with_context(|| said.clone())?.0.parse()?)
}

fn stop(pod: &mut Running) -> Result<f64> {
    nix::unistd::sync();
    let began = Instant::now();
    pod.signal(Signal::SIGTERM)?;
    let code = pod.wait()?;
    ensure!(code == 143, "exit code {code}\n{}", pod.transcript());
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

/// The mean of the middle half, and the largest. A pause is told in whole milliseconds, of which a median would be one too.
fn usual(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let middle = &values[values.len() / 4..values.len() - values.len() / 4];
    (middle.iter().sum::<f64>() / middle.len() as f64, values.last().copied().unwrap_or_default())
}
