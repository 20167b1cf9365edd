//! Tells the cluster, by one Kubernetes Event on the Node, that it shuts down, or that this is over. May import `index` and
//! `base`.
//!
//! Never in the way of serving: it only listens to the index, and what it cannot tell in time is dropped and counted.

mod message;

use std::sync::Arc;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use self::message::NAMESPACE;
use crate::base::limits;
use crate::index::NodeChange;

/// Tells what `changes` says until that ends. `instance` names this replica.
pub async fn run(client: Client, mut changes: Receiver<Arc<NodeChange>>, instance: String) {
    let events: Api<Event> = Api::namespaced(client, NAMESPACE);
    let mut complaint = String::new();
    loop {
        match changes.recv().await {
            Ok(change) => {
                let outcome = tell(&events, &change, &instance).await;
                complain(outcome, &change, &mut complaint);
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "the API server takes Events too slowly, so some were dropped");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Says each cause once: the next node would have the same.
fn complain(outcome: Result<(), kube::Error>, change: &NodeChange, complaint: &mut String) {
    let why = outcome.as_ref().err().map(advice).unwrap_or_default();
    if !why.is_empty() && why != *complaint {
        tracing::warn!(node = change.status.name, "no Event could be written: {why}");
    }
    *complaint = why;
}

fn advice(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => format!(
            "{}; allow this ServiceAccount to create and patch events in the namespace {NAMESPACE}, or turn them off with \
             --events=false",
            status.message
        ),
        other => other.to_string(),
    }
}

/// Tries for a while; an Event that comes late still says when it was.
async fn tell(events: &Api<Event>, change: &NodeChange, instance: &str) -> Result<(), kube::Error> {
    let event = message::event(change, instance, Timestamp::now());
    let mut pauses = pauses();
    loop {
        let Err(error) = write(events, &event, message::is_news(change)).await else { return Ok(()) };
        let lasting = matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code));
        match pauses.next() {
            Some(pause) if !lasting => tokio::time::sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// The name says what is told, so another replica, or this one before a restart, has written the same. If it happened
/// again since, only the time is new.
async fn write(events: &Api<Event>, event: &Event, is_news: bool) -> Result<(), kube::Error> {
    match events.create(&PostParams::default(), event).await {
        Err(kube::Error::Api(status)) if status.code == 409 && is_news => {
            let name = event.metadata.name.as_deref().unwrap_or_default();
            let patch = Patch::Merge(message::again(event));
            events.patch(name, &PatchParams::default(), &patch).await.map(drop)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        outcome => outcome.map(drop),
    }
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(limits::EVENT_RETRY_MIN);
    pauses.with_max_times(limits::EVENT_RETRIES).with_jitter().build()
}
