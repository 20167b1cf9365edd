//! Tells the cluster, by one Kubernetes Event on the Node, that it shuts down, or that this is over. May import `index` and
//! `base`.
//!
//! Never in the way of serving: it only listens to the index, and what it cannot tell in time is dropped. All of it is counted:
//! `written`, `repeated` (another replica has told it, or it happened again), `failed` or `dropped`.

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
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::outcomes::{Outcomes, count};
use crate::index::NodeChange;

/// What the API server answers if it is there already, or was changed meanwhile.
const CONFLICT: u16 = 409;

/// Tells what `changes` says until that ends. `instance` names this replica; what comes of it is counted in `outcomes`.
pub async fn run(
    client: Client,
    mut changes: Receiver<Arc<NodeChange>>,
    instance: String,
    outcomes: Outcomes,
) {
    let events: Api<Event> = Api::namespaced(client, NAMESPACE);
    let complaint = Complaint::default();
    loop {
        match changes.recv().await {
            Ok(change) => {
                let outcome = tell(&events, &change, &instance).await;
                count(&outcomes, outcome.as_ref().copied().unwrap_or("failed"));
                complain(outcome.err().as_ref(), &change, &complaint);
            }
            Err(RecvError::Lagged(missed)) => {
                (0..missed).for_each(|_| count(&outcomes, "dropped"));
                tracing::warn!(missed, "the API server takes Events too slowly, so some were dropped");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// The next node would have the same.
fn complain(error: Option<&kube::Error>, change: &NodeChange, complaint: &Complaint) {
    let why = error.map(advice);
    let is_news = complaint.is_news(why.as_deref());
    if let Some(why) = why.filter(|_| is_news) {
        tracing::warn!(node = change.status.name, "no Event could be written: {why}");
    }
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
async fn tell(events: &Api<Event>, change: &NodeChange, instance: &str) -> Result<&'static str, kube::Error> {
    let event = message::event(change, instance, Timestamp::now());
    let mut pauses = pauses();
    loop {
        let error = match write(events, &event, message::is_news(change)).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let lasting = matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code));
        match pauses.next() {
            Some(pause) if !lasting => tokio::time::sleep(pause).await,
            _ => return Err(error),
        }
    }
}

/// The name says what is told, so another replica, or this one before a restart, has written the same; or it happened again
/// since.
async fn write(events: &Api<Event>, event: &Event, is_news: bool) -> Result<&'static str, kube::Error> {
    match events.create(&PostParams::default(), event).await {
        Ok(_) => Ok("written"),
        Err(kube::Error::Api(status)) if status.code == CONFLICT => {
            if is_news {
                repeat(events, event).await?;
            }
            Ok("repeated")
        }
        Err(error) => Err(error),
    }
}

/// Counts it in the Event that is there. A patch of nothing reads that, for which no further right is needed.
async fn repeat(events: &Api<Event>, event: &Event) -> Result<(), kube::Error> {
    let name = event.metadata.name.as_deref().unwrap_or_default();
    let patch = async |patch: Event| events.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    let Some(again) = message::again(event, &patch(Event::default()).await?) else { return Ok(()) };
    match patch(again).await {
        // Another replica was quicker.
        Err(kube::Error::Api(status)) if status.code == CONFLICT => Ok(()),
        outcome => outcome.map(drop),
    }
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(limits::EVENT_RETRY_MIN);
    pauses.with_max_times(limits::EVENT_RETRIES).with_jitter().build()
}
