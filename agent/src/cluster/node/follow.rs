//! Follows the node's state for as long as the pod lives: one long poll at one replica, and at another one when that is no
//! good any more.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crik_api::NodeStatus;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::base::limits;
use crate::base::panics::locked;
use crate::cluster::controller::addresses;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::replica::Replica;
use crate::cluster::controller::unknown::Unknown;
use crate::cluster::node::knowledge::Knowledge;
use crate::cluster::node::news::{is_same, publish};

/// Where the replicas were last time the resolver said so; at a SIGTERM it may be gone.
pub type Known = Arc<Mutex<Vec<SocketAddr>>>;

/// How it ended at one replica.
enum End {
    /// It has told something, and does so no more.
    Left,
    /// It has told something, but has lost its source or is to stop.
    Poor(Replica),
    /// It has told nothing.
    Silent(Unknown),
}

/// Follows one node.
pub struct Follower {
    /// What is asked.
    pub endpoint: Arc<Endpoint>,
    /// Where news goes.
    pub news: Arc<watch::Sender<Knowledge>>,
    /// Where the replicas are noted.
    pub known: Known,
}

impl Follower {
    /// For ever.
    pub async fn follow(self) {
        let mut pause = limits::POLL_BACKOFF.0;
        loop {
            let began = Instant::now();
            let failure = self.round().await;
            if began.elapsed() > limits::POLL_BACKOFF.1 {
                pause = limits::POLL_BACKOFF.0;
            }
            let asked_for = failure.as_ref().and_then(Unknown::retry_after);
            if let Some(failure) = failure {
                publish(&self.news, Err(Arc::new(failure)));
            }
            sleep(asked_for.unwrap_or_default() + jitter(pause)).await;
            pause = (pause * 2).min(limits::POLL_BACKOFF.1);
        }
    }

    /// Follows the node at a replica for as long as that is any good. Returns why nothing is known, of any replica; none if
    /// something is.
    async fn round(&self) -> Option<Unknown> {
        let found = match addresses::resolve(&self.endpoint).await {
            Ok(found) => found,
            Err(error) => return Some(error),
        };
        locked(&self.known).clone_from(&found);
        let (mut failure, mut poor) = (Unknown::NotYet, None);
        for address in &found {
            let replica = Replica::new(&self.endpoint, *address);
            match self.stay_at(replica, found.len() > 1, Duration::ZERO).await {
                // Where the others are may be another place by now, so that is asked anew.
                End::Left => return None,
                End::Poor(replica) => poor = poor.or(Some(replica)),
                End::Silent(error) => failure = error,
            }
        }
        match poor {
            // As when all have lost their source. One of them is enough to hear of it when it is back, and to stay at then.
            Some(replica) => {
                self.stay_at(replica, true, limits::POLL_WAIT).await;
                None
            }
            None => Some(failure),
        }
    }

    /// Follows the node at one replica until it fails; or, if there are others, is without its source, is to stop, or was asked for
    /// long. One that comes without its source is given so long to find it; one that loses it later, a moment by chance: as a rule
    /// all lose it together and soon have it again, and their agents would all come to the others at once.
    async fn stay_at(&self, mut replica: Replica, others: bool, at_first: Duration) -> End {
        let mut doubted_until: Option<Instant> = None;
        let mut pause = limits::POLL_BACKOFF.0;
        let mut before: Option<NodeStatus> = None;
        let leave = Instant::now() + stay();
        let mut protection = self.endpoint.protection.subscribe();
        loop {
            let began = Instant::now();
            let wait =
                doubted_until.map_or(limits::POLL_WAIT, |until| until.saturating_duration_since(began));
            let patience = if replica.is_long() { wait + limits::POLL_SLACK } else { limits::FIRST_ANSWER };
            let answer = tokio::select! {
                answer = replica.ask(wait, patience) => answer,
                // What the controller is told with a question is news to it, which is not to wait for the next one.
                _ = protection.changed() => continue,
            };
            let status = match answer {
                Ok(status) => status,
                Err(error) if before.is_none() || matches!(error, Unknown::Refused(_)) => {
                    return End::Silent(error);
                }
                Err(_) => return End::Left,
            };
            let news =
                replica.has_told_move() || before.as_ref().is_none_or(|before| !is_same(before, &status));
            let (first, stale) = (before.is_none(), status.stale);
            before = Some(status.clone());
            publish(&self.news, Ok(status));
            let given = if first { at_first } else { part_of(limits::SOURCE_AWAITED) };
            doubted_until = (stale && others).then(|| doubted_until.unwrap_or(Instant::now() + given));
            let poor = doubted_until.is_some_and(|until| Instant::now() >= until);
            if poor || others && first && replica.is_closing() {
                return End::Poor(replica);
            }
            if others && (replica.is_closing() || Instant::now() > leave) {
                return End::Left;
            }
            // Replicas in turn behind one address, a proxy, or an old controller would be asked without end.
            if !news && began.elapsed() < limits::POLL_EARLY {
                sleep(pause).await;
                pause = (pause * 2).min(limits::POLL_BACKOFF.1);
            } else {
                pause = limits::POLL_BACKOFF.0;
            }
        }
    }
}

/// How long an agent that has come to a replica now asks that one, if there are others.
fn stay() -> Duration {
    2 * jitter(limits::STAY)
}

/// Between half and all of it, so that those who were sent away together do not come back together.
fn jitter(pause: Duration) -> Duration {
    pause / 2 + part_of(pause / 2)
}

/// Any part of it, by chance.
fn part_of(time: Duration) -> Duration {
    time.mul_f64(addresses::random() as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_come_to_one_replica_with_all_others_leaves_it_within_15_to_30_minutes_and_not_with_them() {
        let minute = Duration::from_secs(60);
        let mut stays: Vec<Duration> = (0..1000).map(|_| stay()).collect();
        stays.sort();
        assert!(stays[0] >= 15 * minute && stays[999] <= 30 * minute, "{:?} {:?}", stays[0], stays[999]);
        // Of a thousand, in each of the fifteen minutes some.
        for from in 15..30 {
            let some = stays.iter().any(|stay| (from * minute..(from + 1) * minute).contains(stay));
            assert!(some, "none leaves in minute {from}");
        }
    }
}
