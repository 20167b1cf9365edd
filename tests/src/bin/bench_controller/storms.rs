//! What sends all agents of a large cluster elsewhere, with the agent's own client and the chart's times.

use std::time::Duration;

use anyhow::Result;
use crik_tests::fleet::own_network::in_own_network;
use crik_tests::fleet::rollout::Timing;
use crik_tests::fleet::sampler::Load;
use crik_tests::fleet::storms::Storms;

/// What the chart has, and how long CoreDNS leads to what is gone.
const TIMING: Timing =
    Timing { delay: Duration::from_secs(20), names: Duration::from_secs(5), ready: Duration::from_secs(15) };

/// Prints its table.
pub fn run(agents: usize) -> Result<()> {
    println!("{agents} agents, two replicas, one address; no agent was without an answer in any of these");
    println!("{:>40} {:>21} {:>21}", "", "connects/s, in all", "answers/s, in all");
    in_own_network(|| {
        let mut storms = Storms::start(agents, TIMING)?;
        row("rolling update", storms.update()?);
        row("drain of a replica's node", storms.drain()?);
        row("API server away for 1 s", storms.blip()?);
        row("API server away until all are told", storms.outage_that_is_told()?);
        Ok(())
    })
}

fn row(what: &str, load: Load) {
    let Load { connects, rounds, all_connects, all_rounds } = load;
    println!("{what:>40} {connects:>10} {all_connects:>10} {rounds:>10} {all_rounds:>10}");
}
