//! What all agents do in one moment: they are told something, and they come back. Beside it the same with a server that does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use crik_tests::controller::Controller;
use crik_tests::fleet::node;
use crik_tests::fleet::swarm::Swarm;
use crik_tests::fleet::synthetic::SyntheticApiServer;
use crik_tests::fleet::way::Way;
use crik_tests::http::get;

use crate::{FLAGS, POLLS, bare};

const PATIENCE: Duration = Duration::from_secs(60);

/// Prints its table.
pub fn run(sizes: &[usize]) -> Result<()> {
    println!(
        "{:>7} {:>32} {:>32}",
        "polls", "all come at once: until answered", "all are woken: first to last"
    );
    println!(
        "{:>7} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "controller", "bare", "ratio", "controller", "bare", "ratio"
    );
    let herds: BTreeSet<_> = sizes.iter().map(|size| (*size).min(POLLS)).collect();
    for polls in herds {
        let server = SyntheticApiServer::start(polls)?;
        let controller = Controller::watching(server.kubeconfig(), &FLAGS)?;
        let bare = bare::Server::start(&get(&controller.url(&format!("/v1/nodes/{}", node::name(0))))?.body)?;
        // The loss of its source is told by every replica to all who wait there.
        let lose = || {
            server.go_away();
            Ok(())
        };
        let ours = herd(controller.port(), polls, lose)?;
        let theirs = herd(bare.port(), polls, || bare.wake())?;
        let ratio = |n: usize| ours[n].as_secs_f64() / theirs[n].as_secs_f64();
        println!(
            "{polls:>7} {:>8.2} s {:>8.2} s {:>10.2} {:>8.2} s {:>8.2} s {:>10.2}",
            ours[0].as_secs_f64(),
            theirs[0].as_secs_f64(),
            ratio(0),
            ours[1].as_secs_f64(),
            theirs[1].as_secs_f64(),
            ratio(1)
        );
    }
    println!();
    Ok(())
}

/// How long it takes until all who come are answered, and until all are who wait.
fn herd(port: u16, polls: usize, wake: impl FnOnce() -> Result<()>) -> Result<[Duration; 2]> {
    let began = Instant::now();
    let all: BTreeMap<_, _> = (0..polls).map(|number| (node::name(number), String::new())).collect();
    let mut swarm = Swarm::start(&Way::to(port), &all, 0)?;
    let come = answers(&mut swarm, polls)?.last().context("no poll")?.duration_since(began);
    // Until the last of them waits.
    std::thread::sleep(Duration::from_secs(1));
    wake()?;
    let woken = answers(&mut swarm, polls)?;
    let (first, last) = (woken.first().context("no poll")?, woken.last().context("no poll")?);
    Ok([come, last.duration_since(*first)])
}

/// When so many answers came, in order.
fn answers(swarm: &mut Swarm, number: usize) -> Result<Vec<Instant>> {
    let mut times = (0..number).map(|_| Ok(swarm.answer(PATIENCE)?.at)).collect::<Result<Vec<_>>>()?;
    times.sort();
    Ok(times)
}
