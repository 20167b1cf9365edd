//! `make bench-controller`: what the controller costs as a cluster grows, how soon an agent hears of a change, and what many
//! clients at once come to.

mod bare;
mod herds;
mod lists;
mod real;
mod storms;
mod synthetic;
mod throughput;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crik_tests::build::cargo_bin;
use crik_tests::controller::Controller;
use crik_tests::fleet::changes::versions_of_first;
use crik_tests::fleet::swarm::Swarm;
use crik_tests::fleet::way::Way;
use crik_tests::fleet::{node, usage};
use crik_tests::http::get;

/// How many nodes, one table row each; `make bench-controller NODES="1000 5000"` chooses others.
const SIZES: [usize; 3] = [1_000, 15_000, 50_000];

/// What is measured, in this order; words among the sizes choose some of it.
const PARTS: [&str; 6] = ["real", "synthetic", "herds", "lists", "throughput", "storms"];

/// How many polls wait, at most: one for each node, as one agent a node would send.
const POLLS: usize = 10_000;

/// How many agents are sent elsewhere.
const AGENTS: usize = 15_000;

/// How long the processor time is watched, in each state.
const WATCHED: Duration = Duration::from_secs(20);

/// How many changes are timed.
const CHANGES: usize = 300;

/// The flags that a controller of that many polls is started with: all come from one address.
const FLAGS: [&str; 2] = ["--max-connections-per-peer", "11000"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, body] = arguments.as_slice()
        && word == "bare"
    {
        return bare::serve(fs::read(body)?);
    }
    let (words, sizes): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| PARTS.contains(&argument.as_str()));
    let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    // Else the first row pays for the build.
    cargo_bin("crik-controller", "crik-controller", &[])?;
    println!("nodes of {} bytes of JSON\n", node::node(0).to_string().len());
    PARTS.iter().filter(|part| words.is_empty() || words.iter().any(|word| word == *part)).try_for_each(
        |part| match *part {
            "real" => real::run(&sizes),
            "synthetic" => synthetic::run(&sizes),
            "herds" => herds::run(&sizes),
            "lists" => lists::run(&sizes),
            "throughput" => throughput::run(sizes[0]),
            _ => storms::run(AGENTS),
        },
    )
}

/// The share of one processor that the controller uses while something happens.
fn processor_share(controller: &Controller, happens: impl FnOnce()) -> Result<f64> {
    let (before, began) = (usage::processor(controller.pid())?, Instant::now());
    happens();
    let used = usage::processor(controller.pid())?.saturating_sub(before);
    Ok(used.as_secs_f64() / began.elapsed().as_secs_f64())
}

/// One waiting poll for each of the first nodes.
fn swarm(controller: &Controller, polls: usize) -> Result<Swarm> {
    let list = get(&controller.url("/v1/nodes"))?.body;
    let swarm = Swarm::start(&Way::to(controller.port()), &versions_of_first(&list, polls)?, 0)?;
    // Until the last of them has been read: a request that comes later is answered later.
    get(&controller.url("/v1/nodes/none"))?;
    thread::sleep(Duration::from_secs(1));
    Ok(swarm)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
