//! The node whose state decides: is it going away, and what does that mean? It imports what the room `cluster` may, and
//! `pod` and `controller`.

mod best_answer;
pub mod decide;
pub mod first_sign;
mod follow;
mod interrogate;
pub mod knowledge;
pub mod move_watch;
mod news;
pub mod notice;
pub mod notice_watch;

use std::collections::HashMap;
use std::sync::Arc;

use crik_api::Protection;
use hyper::body::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::base::panics::locked;
use crate::cluster::controller::ask_all::AskAll;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::replica::Replica;
use crate::cluster::controller::report;
use crate::cluster::controller::unknown::Unknown;
use crate::cluster::pod::{Asking, PodName, PodUnknown};
use crate::config::Access;
use best_answer::better;
use follow::{Follower, Known};
use knowledge::{Knowledge, not_yet};
use news::publish;

/// The node whose state decides.
pub struct Node {
    /// Missing if the controller cannot be asked at all, which `known` then explains.
    endpoint: Option<Arc<Endpoint>>,
    known: Arc<watch::Sender<Knowledge>>,
    replicas: Known,
    follower: Option<JoinHandle<()>>,
    /// The pod that is asked about.
    pod: Result<PodName, PodUnknown>,
}

impl Node {
    /// Follows the state of the node `name` at a controller, in a task of its own. When this agent is told to stop, it is
    /// asked who ends the `pod`.
    pub fn follow(access: Access, name: Option<&str>, pod: Result<PodName, PodUnknown>) -> Self {
        let replicas = Known::default();
        let own = pod.as_ref().ok().map(|pod| (pod.namespace.clone(), pod.name.clone()));
        match Endpoint::new(access, name, own) {
            Err(error) => {
                tracing::warn!("the node's state cannot be learned: {error}");
                let known = Arc::new(watch::Sender::new(Err(Arc::new(error))));
                Self { endpoint: None, known, replicas, follower: None, pod }
            }
            Ok(endpoint) => {
                let (endpoint, known) = (Arc::new(endpoint), Arc::new(watch::Sender::new(not_yet())));
                let follower = Follower {
                    endpoint: Arc::clone(&endpoint),
                    news: Arc::clone(&known),
                    known: Arc::clone(&replicas),
                };
                let follower = Some(tokio::spawn(follower.follow()));
                Self { endpoint: Some(endpoint), known, replicas, follower, pod }
            }
        }
    }

    /// What is known now.
    pub fn known(&self) -> Knowledge {
        self.known.borrow().clone()
    }

    /// Has the controller told whether the program is protected.
    pub fn tell(&self, protection: Protection) {
        let Some(endpoint) = &self.endpoint else { return };
        endpoint.protection.send_if_modified(|told| told.replace(protection) != Some(protection));
    }

    /// Whether the controller can be told of the program: it believes a token alone, and wants to know of which pod.
    pub fn takes_reports(&self) -> bool {
        let is_known = |endpoint: &Arc<Endpoint>| endpoint.access.token_file.is_some();
        self.pod.is_ok() && self.endpoint.as_ref().is_some_and(is_known)
    }

    /// Sends a report, as JSON, to one replica after the other until one has taken it.
    ///
    /// # Errors
    /// None has.
    pub async fn report(&self, report: Bytes) -> Result<(), Unknown> {
        let endpoint = self.endpoint.as_ref().ok_or(Unknown::NotYet)?;
        let known = locked(&self.replicas).clone();
        report::send(endpoint, known, &report).await
    }

    /// To wait for moves of the pod with.
    pub fn moves(&self) -> Option<watch::Receiver<Option<String>>> {
        self.endpoint.as_ref().map(|endpoint| endpoint.moves.news())
    }

    /// To wait for news with.
    pub fn news(&self) -> watch::Receiver<Knowledge> {
        self.known.subscribe()
    }

    /// Asks all replicas who ends the pod, until the deadline or until the answer is dropped.
    pub fn ask_pod(&self, deadline: Instant) -> Asking {
        match (&self.endpoint, &self.pod) {
            (Some(endpoint), Ok(name)) => {
                Asking::begin(endpoint, name.clone(), locked(&self.replicas).clone(), deadline)
            }
            (_, Err(unknown)) => Asking::of_nobody(unknown.clone()),
            (None, _) => Asking::of_nobody(PodUnknown::NotAsked),
        }
    }

    /// Asks all replicas anew until `enough` or the `deadline`; at the deadline the best answer counts. What was known
    /// before may come from a connection that has died unnoticed, so it is forgotten first and cannot decide alone.
    pub async fn ask_until(&self, deadline: Instant, enough: impl Fn() -> bool) {
        let Some(endpoint) = &self.endpoint else { return };
        self.follower.iter().for_each(JoinHandle::abort);
        drop(self.known.send_replace(not_yet()));
        let replicas = locked(&self.replicas).clone();
        let of = Arc::clone(endpoint);
        let mut ask_all = AskAll::ask(endpoint, replicas, deadline, move |address, tell| {
            interrogate::interrogate(Replica::new(&of, address), address, deadline, tell)
        });
        let mut latest: HashMap<_, Knowledge> = HashMap::new();
        while !enough() {
            let Some((who, said)) = ask_all.next().await else { break };
            publish(&self.known, said.clone());
            // A connection that is lost says nothing against the answer before it.
            if said.is_ok() || latest.get(&who).is_none_or(Result::is_err) {
                drop(latest.insert(who, said));
            }
        }
        if !enough() {
            drop(self.known.send_replace(latest.into_values().fold(not_yet(), better)));
        }
    }
}

#[cfg(test)]
impl Node {
    /// One whose status was learned before, from a controller that nobody reaches any more.
    pub fn of_the_past(status: crik_api::NodeStatus) -> Self {
        let access = Access { url: "http://127.0.0.1:9".to_owned(), ..Access::default() };
        let endpoint = Endpoint::new(access, Some(&status.name), None).ok().map(Arc::new);
        let known = Arc::new(watch::Sender::new(Ok(status)));
        let pod = Err(PodUnknown::NoName);
        Self { endpoint, known, replicas: Known::default(), follower: None, pod }
    }
}
