//! The list of all nodes: how many are sent a second, and whether those who wait for a node notice.

use std::time::{Duration, Instant};

use anyhow::Result;
use crik_tests::controller::Controller;
use crik_tests::fleet::changes::{percentile, timed};
use crik_tests::fleet::readers::Readers;
use crik_tests::fleet::synthetic::SyntheticApiServer;
use crik_tests::http::get;

use crate::{FLAGS, bare, mib, swarm};

/// As many as one address may have at a time.
const READERS: usize = 8;

/// For how long lists are read.
const READ: Duration = Duration::from_secs(5);

/// How many nodes are waited for, and how many changes of one are timed in each turn.
const CHANGES: (usize, usize) = (1_000, 100);
const TURNS: usize = 4;

/// Prints its table.
pub fn run(sizes: &[usize]) -> Result<()> {
    println!(
        "GET /v1/nodes by {READERS} readers at a time, and a poll that is answered meanwhile, in turns with and without them"
    );
    println!(
        "{:>7} {:>9} {:>10} {:>10} {:>7} {:>12} {:>22} {:>22}",
        "nodes",
        "a list",
        "lists/s",
        "bare",
        "ratio",
        "a new list",
        "poll alone, p50, p99",
        "beside lists, p50, p99"
    );
    for &size in sizes {
        let server = SyntheticApiServer::start(size)?;
        let controller = Controller::watching(server.kubeconfig(), &FLAGS)?;
        let body = get(&controller.url("/v1/nodes"))?.body;
        let bare = bare::Server::start(&body)?;
        let (ours, theirs) = (per_second(controller.port())?, per_second(bare.port())?);
        let new = new_list(&server, &controller)?;
        let [alone, beside] = polls(&server, &controller, size)?;
        println!(
            "{size:>7} {:>5.1} MiB {ours:>10.1} {theirs:>10.1} {:>7.2} {:>9.1} ms {:>8.2} ms {:>8.2} ms {:>8.2} ms {:>8.2} ms",
            mib(body.len() as u64),
            ours / theirs,
            new.as_secs_f64() * 1e3,
            percentile(&alone, 50),
            percentile(&alone, 99),
            percentile(&beside, 50),
            percentile(&beside, 99),
        );
    }
    println!();
    Ok(())
}

fn per_second(port: u16) -> Result<f64> {
    let readers = Readers::start(port, READERS)?;
    let (before, began) = (readers.read(), Instant::now());
    std::thread::sleep(READ);
    Ok((readers.read() - before) as f64 / began.elapsed().as_secs_f64())
}

/// How long the first list after a change takes.
fn new_list(server: &SyntheticApiServer, controller: &Controller) -> Result<Duration> {
    server.cordon(0, true);
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    get(&controller.url("/v1/nodes"))?;
    let took = began.elapsed();
    server.cordon(0, false);
    Ok(took)
}

/// How long the answers of polls take alone and beside those who read.
fn polls(server: &SyntheticApiServer, controller: &Controller, nodes: usize) -> Result<[Vec<f64>; 2]> {
    let changes = (CHANGES.0.min(nodes), CHANGES.1);
    let mut swarm = swarm(controller, changes.0)?;
    let mut change = || timed(&mut swarm, changes, |number, cordoned| Ok(server.cordon(number, cordoned)));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        alone.extend(change()?);
        let readers = Readers::start(controller.port(), READERS)?;
        beside.extend(change()?);
        drop(readers);
    }
    Ok([alone, beside])
}
