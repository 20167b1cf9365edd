//! What sends all agents of a large cluster elsewhere at once, and what comes of it.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crik_api::NodeState;

use super::agents::Agents;
use super::node;
use super::rollout::{Rollout, Timing, URL};
use super::sampler::Load;
use super::synthetic::SyntheticApiServer;

/// How many nodes the agents are on.
const NODES: usize = 100;

/// An outage that is over before it is told.
const BLIP: Duration = Duration::from_secs(1);

/// Agents, their controller and its API server.
pub struct Storms {
    agents: Agents,
    rollout: Rollout,
    server: SyntheticApiServer,
}

impl Storms {
    /// So many agents, each of which knows its node. For a network of its own.
    ///
    /// # Errors
    /// Something does not start.
    pub fn start(agents: usize, timing: Timing) -> Result<Self> {
        let server = SyntheticApiServer::start(NODES)?;
        let rollout = Rollout::start(server.kubeconfig(), timing)?;
        let agents = Agents::start(URL, (0..agents).map(|agent| node::name(agent % NODES)))?;
        rollout.load();
        Ok(Self { agents, rollout, server })
    }

    /// A rolling update of the controller.
    ///
    /// # Errors
    /// An agent is without an answer.
    pub fn update(&mut self) -> Result<Load> {
        self.agents.unharmed(|| self.rollout.update()).context("a rolling update")?;
        Ok(self.rollout.load())
    }

    /// A drain of a replica's node.
    ///
    /// # Errors
    /// An agent is without an answer.
    pub fn drain(&mut self) -> Result<Load> {
        self.agents.unharmed(|| self.rollout.drain()).context("a drain")?;
        Ok(self.rollout.load())
    }

    /// A restart of the API server that takes a moment.
    ///
    /// # Errors
    /// An agent hears of it.
    pub fn blip(&mut self) -> Result<Load> {
        let short = || {
            sleep(BLIP);
            Ok(())
        };
        self.agents.unharmed(|| self.outage(short)).context("a short outage")?;
        Ok(self.rollout.load())
    }

    /// A restart that takes so long that all agents are told.
    ///
    /// # Errors
    /// An agent is without an answer.
    pub fn outage_that_is_told(&mut self) -> Result<Load> {
        self.agents.mishaps();
        self.outage(|| self.agents.all_are(|_, stale| stale))?;
        let mishaps = self.agents.mishaps();
        ensure!(mishaps.lost == 0, "{mishaps:?}");
        Ok(self.rollout.load())
    }

    /// Returns when all is well again and has been for as long as it takes to see a storm.
    fn outage(&self, lasts: impl FnOnce() -> Result<()>) -> Result<()> {
        self.server.go_away();
        lasts()?;
        self.server.come_back()?;
        self.agents.all_are(|state, stale| state == NodeState::Ready && !stale)?;
        sleep(Duration::from_secs(5));
        Ok(())
    }
}
