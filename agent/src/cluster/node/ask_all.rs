//! Asks all replicas at the same time, for a decision that cannot wait: one of them may be dying with this node, hang, or
//! have lost its source.

use std::net::SocketAddr;
use std::sync::Arc;

use crik_api::NodeStatus;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::base::limits;
use crate::cluster::controller::addresses;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::replica::Replica;
use crate::cluster::controller::unknown::Unknown;
use crate::cluster::node::knowledge::Knowledge;
use crate::cluster::node::news::is_same;

/// Who has said what; nobody, if it is that nobody could be found.
pub type Said = (Option<SocketAddr>, Knowledge);

/// Questions to all replicas. They end when this is dropped.
pub struct AskAll {
    asking: JoinSet<()>,
    asked: Vec<SocketAddr>,
    endpoint: Arc<Endpoint>,
    deadline: Instant,
    tell: mpsc::UnboundedSender<Said>,
    told: mpsc::UnboundedReceiver<Said>,
    found: mpsc::UnboundedReceiver<Result<Vec<SocketAddr>, Unknown>>,
}

impl AskAll {
    /// Asks those that are `known` at once, and the others as soon as the resolver has told them.
    pub fn ask(endpoint: &Arc<Endpoint>, known: Vec<SocketAddr>, deadline: Instant) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let (tell_found, found) = mpsc::unbounded_channel();
        let mut asking = JoinSet::new();
        let resolved = Arc::clone(endpoint);
        asking.spawn(async move { drop(tell_found.send(addresses::resolve(&resolved).await)) });
        let mut all =
            Self { asking, asked: Vec::new(), endpoint: Arc::clone(endpoint), deadline, tell, told, found };
        all.also(known);
        all
    }

    fn also(&mut self, addresses: Vec<SocketAddr>) {
        for address in addresses {
            if !self.asked.contains(&address) {
                self.asked.push(address);
                let replica = Replica::new(&self.endpoint, address);
                self.asking.spawn(interrogate(replica, address, self.deadline, self.tell.clone()));
            }
        }
    }

    /// What is said next. None at the deadline.
    pub async fn next(&mut self) -> Option<Said> {
        loop {
            let next = async {
                tokio::select! {
                    Some(said) = self.told.recv() => Ok(said),
                    Some(found) = self.found.recv() => Err(found),
                }
            };
            match timeout_at(self.deadline, next).await.ok()? {
                Ok(said) => return Some(said),
                Err(Ok(found)) => self.also(found),
                // Where they were before is as good as it gets.
                Err(Err(_)) if !self.asked.is_empty() => {}
                Err(Err(error)) => return Some((None, Err(Arc::new(error)))),
            }
        }
    }
}

/// Asks one replica for its status and then for news. An answer that does not come is asked for on another connection, with
/// more patience each time. One that comes early without news, as behind a balancer, is no reason to hurry.
async fn interrogate(
    mut replica: Replica,
    address: SocketAddr,
    deadline: Instant,
    tell: mpsc::UnboundedSender<Said>,
) {
    let mut patience = limits::DECISIVE_ANSWER;
    let mut before: Option<NodeStatus> = None;
    loop {
        let began = Instant::now();
        let left = deadline.saturating_duration_since(began);
        let answer = replica.ask(left, if replica.is_long() { left } else { patience.min(left) }).await;
        let failed = answer.is_err();
        let same = |now: &NodeStatus| before.as_ref().is_some_and(|before| is_same(before, now));
        let early = answer.as_ref().is_ok_and(same) && began.elapsed() < limits::POLL_EARLY;
        before = answer.as_ref().ok().cloned();
        if Instant::now() >= deadline {
            // It was cut off, which says nothing.
            return;
        }
        if tell.send((Some(address), answer.map_err(Arc::new))).is_err() {
            return;
        }
        if failed {
            patience *= 2;
        }
        if failed || early {
            sleep(limits::POLL_BACKOFF.0).await;
        }
    }
}
