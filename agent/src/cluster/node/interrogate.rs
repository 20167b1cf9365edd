//! How one replica is asked for a node's state when a decision waits for it.

use std::net::SocketAddr;

use crik_api::NodeStatus;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

use crate::base::limits;
use crate::cluster::controller::ask_all::Tell;
use crate::cluster::controller::replica::Replica;
use crate::cluster::node::news::is_same;

/// Asks one replica for its status and then for news. An answer that does not come is asked for on another connection, with
/// more patience each time. One that comes early without news, as behind a balancer, is no reason to hurry.
pub async fn interrogate(
    mut replica: Replica,
    address: SocketAddr,
    deadline: Instant,
    tell: Tell<NodeStatus>,
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
