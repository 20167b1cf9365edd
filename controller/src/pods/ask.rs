//! Questions to the API server about pods: few at a time, and one answer for all who ask about a pod in the same moment.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crik_api::PodStatus;
use kube::Client;
use moka::future::Cache;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::grace::used_seconds;
use super::pod::Pod;
use super::read::read;
use super::verdict::verdict;
use crate::base::buckets::Buckets;
use crate::base::causes::with_causes;
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::outcomes::{Outcomes, count};
use crate::base::turns::{Turn, Turns};

/// Why nothing can be said of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PodError {
    /// There is none of this name.
    #[error("there is no pod {name} in the namespace {namespace}")]
    Gone {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The controller may not read it.
    #[error(
        "the controller may not read pods; give its ServiceAccount the verb get on pods, or --pods=false"
    )]
    Forbidden,
    /// There is no question left for the one who asks.
    #[error("too many pods are asked for from your address; ask again, or ask another replica")]
    TooMany,
    /// The API server cannot be asked.
    #[error("the pod cannot be looked at now: {0}; ask again")]
    Unavailable(String),
}

impl PodError {
    fn result(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "gone",
            Self::Forbidden => "forbidden",
            Self::TooMany | Self::Unavailable(_) => "failed",
        }
    }
}

/// Asks about pods.
pub struct Pods {
    client: Client,
    at_once: Semaphore,
    /// Of those, for each address.
    turns: Turns<IpAddr>,
    for_each: Buckets<IpAddr>,
    /// What was answered a moment ago.
    fresh: Cache<(String, String), Result<Arc<PodStatus>, PodError>>,
    outcomes: Outcomes,
    /// Why pods cannot be looked at, as long as it is so.
    complaint: Complaint,
}

impl Pods {
    /// Asks by this client, and counts there.
    pub fn new(client: Client, outcomes: Outcomes) -> Self {
        let fresh = Cache::builder().max_capacity(limits::PODS_FRESH).time_to_live(limits::POD_FRESH).build();
        let at_once = Semaphore::new(limits::PODS_AT_ONCE);
        let turns = Turns::new(limits::PODS_PER_PEER);
        let for_each = Buckets::new(limits::POD_QUESTIONS_PER_PEER, limits::POD_QUESTIONS_PER_PEER_SECOND);
        Self { client, at_once, turns, for_each, fresh, outcomes, complaint: Complaint::default() }
    }

    /// What the pod's object says now, for one at this address.
    ///
    /// # Errors
    /// There is none, or it cannot be read, or the address asks too much.
    pub async fn status(
        &self,
        peer: IpAddr,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<PodStatus>, PodError> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(answer) = self.fresh.get(&key).await {
            return answer;
        }
        // What is refused here is refused to this address only: others may wait for an answer about the same pod.
        let _turn = self.turn(peer).await?;
        if let Some(answer) = self.fresh.get(&key).await {
            return answer;
        }
        if !self.for_each.take(peer.to_canonical(), Instant::now()) {
            return Err(PodError::TooMany);
        }
        self.fresh.get_with(key, self.ask(namespace, name)).await
    }

    async fn turn(&self, peer: IpAddr) -> Result<Turn, PodError> {
        let turn = timeout(limits::POD_TIMEOUT, self.turns.next(peer.to_canonical())).await;
        turn.ok().flatten().ok_or(PodError::TooMany)
    }

    async fn ask(&self, namespace: &str, name: &str) -> Result<Arc<PodStatus>, PodError> {
        let answer = timeout(limits::POD_TIMEOUT, self.patiently(namespace, name)).await;
        let late = || PodError::Unavailable("the API server has not answered in time".to_owned());
        let answer = answer.unwrap_or_else(|_| Err(late()));
        let result = answer.as_ref().map_or_else(PodError::result, |status| status.state.as_str());
        count(&self.outcomes, result);
        self.complain(answer.as_ref().err());
        answer.map(Arc::new)
    }

    async fn patiently(&self, namespace: &str, name: &str) -> Result<PodStatus, PodError> {
        let Ok(_place) = self.at_once.acquire().await else {
            return Err(PodError::Unavailable("the controller ends".to_owned()));
        };
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let answer = read::<Pod>(&self.client, &path).await;
        let (pod, now) = answer.map_err(|error| explain(&error, namespace, name))?;
        let (state, reasons) = verdict(&pod);
        let deletion_grace_used_seconds = used_seconds(&pod, now);
        Ok(PodStatus {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: pod.metadata.uid.unwrap_or_default(),
            state,
            reasons,
            deletion_grace_seconds: pod.metadata.deletion_grace_period_seconds,
            deletion_grace_used_seconds,
        })
    }

    /// That a pod is gone is none.
    fn complain(&self, error: Option<&PodError>) {
        let error = error.filter(|error| !matches!(error, PodError::Gone { .. }));
        let why = error.map(ToString::to_string);
        match &why {
            _ if !self.complaint.is_news(why.as_deref()) => {}
            Some(why) => tracing::warn!(
                "agents are not told why their pods are told to stop, and act as their nodes say: {why}"
            ),
            None => tracing::info!("pods can be looked at again"),
        }
    }
}

fn explain(error: &kube::Error, namespace: &str, name: &str) -> PodError {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            PodError::Gone { namespace: namespace.to_owned(), name: name.to_owned() }
        }
        kube::Error::Api(status) if status.code == 403 => PodError::Forbidden,
        kube::Error::Api(status) => PodError::Unavailable(format!("the API server says: {}", status.message)),
        error => PodError::Unavailable(with_causes(error)),
    }
}

#[cfg(test)]
mod tests;
