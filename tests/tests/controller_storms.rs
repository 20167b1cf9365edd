//! What sends all agents elsewhere at once: a rolling update of the controller, the drain of a node, a restart of the API server. No
//! agent is ever without an answer, and none comes more often than it has to. `make bench-controller` does it with 15,000 agents
//! and the chart's times, and shows how much of it comes within a second.

use std::time::Duration;

use anyhow::{Result, ensure};
use crik_tests::fleet::own_network::in_own_network;
use crik_tests::fleet::rollout::Timing;
use crik_tests::fleet::sampler::Load;
use crik_tests::fleet::storms::Storms;

const AGENTS: u64 = 2_000;

/// A chart's replica that is in a hurry.
const TIMING: Timing =
    Timing { delay: Duration::from_secs(8), names: Duration::from_secs(2), ready: Duration::from_secs(1) };

/// What comes is `times` connections of each agent at most, and two answers for each; besides, polls whose time is up are answered.
fn is_no_storm(what: &str, load: Load, times: u64) -> Result<()> {
    println!("{what}: {load:?}");
    let (connects, rounds) = (times * AGENTS + AGENTS / 20, 2 * times * AGENTS + AGENTS);
    ensure!(load.all_connects <= connects && load.all_rounds <= rounds, "{what}: {load:?}");
    Ok(())
}

#[test]
fn nothing_that_sends_all_agents_elsewhere_leaves_one_without_an_answer_or_is_a_storm() -> Result<()> {
    in_own_network(|| {
        let mut storms = Storms::start(AGENTS as usize, TIMING)?;
        is_no_storm("a rolling update", storms.update()?, 3)?;
        is_no_storm("a drain", storms.drain()?, 2)?;
        is_no_storm("an API server away for a moment", storms.blip()?, 0)?;
        is_no_storm("an API server away until all are told", storms.outage_that_is_told()?, 1)?;
        Ok(())
    })
}
