//! Thousands of agents in one process: each follows its node with what the agent itself follows it with.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use crik_agent::cluster::node::Node;
use crik_agent::cluster::pod::PodUnknown;
use crik_agent::config::Access;
use crik_api::NodeState;
use tokio::runtime::Runtime;

use crate::wait::wait_for;

/// How many start at a time: pods of a cluster do not start all at once.
const AT_ONCE: usize = 500;

/// How many mishaps are kept in words.
const KEPT: usize = 5;

/// So many of them, until this is dropped.
pub struct Agents {
    nodes: Vec<Node>,
    mishaps: Arc<Mutex<Mishaps>>,
    _runtime: Runtime,
}

/// What agents were told that they should not be.
#[derive(Debug, Default, Clone)]
pub struct Mishaps {
    /// How often an agent found no replica that answers.
    pub lost: usize,
    /// How often it was told that the source of nodes is lost.
    pub stale: usize,
    /// The first losses, in words.
    pub words: Vec<String>,
}

impl Agents {
    /// Starts one for each name of a node, and waits until each knows its node.
    ///
    /// # Errors
    /// One does not learn it.
    pub fn start(url: &str, nodes: impl IntoIterator<Item = String>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut agents = Self { nodes: Vec::new(), mishaps: Arc::default(), _runtime: runtime };
        for name in nodes {
            agents.add(url, &name);
            if agents.nodes.len().is_multiple_of(AT_ONCE) {
                agents.all_know()?;
            }
        }
        agents.all_know()?;
        *lock(&agents.mishaps) = Mishaps::default();
        Ok(agents)
    }

    fn add(&mut self, url: &str, name: &str) {
        let _inside = self._runtime.enter();
        let access = Access { url: url.to_owned(), ..Access::default() };
        let node = Node::follow(access, Some(name), Err(PodUnknown::NoName));
        let (mut news, mishaps) = (node.news(), Arc::clone(&self.mishaps));
        self.nodes.push(node);
        tokio::spawn(async move {
            while news.changed().await.is_ok() {
                let known = news.borrow_and_update().clone();
                lock(&mishaps).note(known.map(|status| status.stale).map_err(|error| error.to_string()));
            }
        });
    }

    fn all_know(&self) -> Result<()> {
        self.all_are(|state, stale| state == NodeState::Ready && !stale)
    }

    /// Waits until all agents have been told something.
    ///
    /// # Errors
    /// One is not.
    pub fn all_are(&self, told: impl Fn(NodeState, bool) -> bool) -> Result<()> {
        let is = |node: &&Node| node.known().is_ok_and(|status| told(status.state, status.stale));
        let all = || self.nodes.iter().all(|node| is(&node));
        wait_for("all agents to be told", || all().then_some(()))
    }

    /// What has gone wrong since they were asked this last.
    pub fn mishaps(&self) -> Mishaps {
        std::mem::take(&mut *lock(&self.mishaps))
    }

    /// Does something in which no agent may be without an answer, nor be told that the source is lost.
    ///
    /// # Errors
    /// One was, or what is done fails.
    pub fn unharmed<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.mishaps();
        let done = act()?;
        let mishaps = self.mishaps();
        ensure!(mishaps.lost == 0 && mishaps.stale == 0, "{mishaps:?}");
        Ok(done)
    }
}

impl Mishaps {
    fn note(&mut self, known: Result<bool, String>) {
        match known {
            Ok(stale) => self.stale += usize::from(stale),
            Err(error) => {
                self.lost += 1;
                self.words.extend((self.words.len() < KEPT).then_some(error));
            }
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
