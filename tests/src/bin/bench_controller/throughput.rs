//! Plain requests, next to a server that does nothing.

use anyhow::Result;
use crik_tests::controller::Controller;
use crik_tests::fleet::load::{Load, load};
use crik_tests::fleet::synthetic::SyntheticApiServer;
use crik_tests::fleet::{node, usage};
use crik_tests::http::get;

use crate::{FLAGS, bare};

/// How often each is measured, and for how long.
const LOADS: usize = 5;
const SECONDS: u32 = 3;

/// Prints its table.
pub fn run(nodes: usize) -> Result<()> {
    let server = SyntheticApiServer::start(nodes)?;
    let controller = Controller::watching(server.kubeconfig(), &FLAGS)?;
    let url = controller.url(&format!("/v1/nodes/{}", node::name(nodes / 2)));
    let bare = bare::Server::start(&get(&url)?.body)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..LOADS {
        ours.push(measured(controller.pid(), &url)?);
        theirs.push(measured(bare.pid(), &bare.url())?);
    }
    let (ours, theirs) = (middle(ours), middle(theirs));
    println!(
        "GET /v1/nodes/NAME by wrk, 32 connections, loopback; median of {LOADS} turns, in each of which both are asked"
    );
    println!("{:>12} {:>12} {:>10} {:>16}", "", "requests/s", "p99", "CPU a request");
    for (name, turn) in [("controller", &ours), ("bare hyper", &theirs)] {
        let Turn { load, cpu } = turn;
        println!("{name:>12} {:>12.0} {:>7.2} ms {:>13.2} µs", load.per_second, load.p99, cpu * 1e6);
    }
    println!(
        "{:>12} {:>12.2} {:>10.2} {:>16.2}\n",
        "ratio",
        ours.load.per_second / theirs.load.per_second,
        ours.load.p99 / theirs.load.p99,
        theirs.cpu / ours.cpu
    );
    Ok(())
}

struct Turn {
    load: Load,
    /// Seconds of processor time that an answer takes, which other programs of the machine change little.
    cpu: f64,
}

fn measured(pid: u32, url: &str) -> Result<Turn> {
    let before = usage::processor(pid)?;
    let load = load(url, SECONDS)?;
    let used = usage::processor(pid)?.saturating_sub(before);
    Ok(Turn { cpu: used.as_secs_f64() / (load.per_second * f64::from(SECONDS)), load })
}

/// The turn in which an answer took as long as in the middle one of all.
fn middle(mut turns: Vec<Turn>) -> Turn {
    turns.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    turns.remove(turns.len() / 2)
}
