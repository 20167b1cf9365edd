//! The watch of labelled pods. It is kube's; when it is tried again is decided here. While it is lost, what is known stays.

use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::time::sleep;

use super::Workloads;
use super::watched_pod::WatchedPod;
use crate::base::complaint::Complaint;
use crate::base::watch_error::explain;
use crate::base::{limits, retry};

/// The label of pods that are put under crik.
const SELECTOR: &str = "crik.dev/inject=true";

/// Watches them for ever. The client must not repeat what fails.
pub async fn run(client: Client, workloads: Arc<Workloads>) {
    let config = watcher::Config::default().labels(SELECTOR).timeout(limits::WATCH_SECONDS);
    let config = config.page_size(limits::PODS_LIST_PAGE);
    let mut watch = Box::pin(watcher(Api::<WatchedPod>::all(client), config));
    let (complaint, mut pauses, mut listing) = (Complaint::default(), retry::pauses(), Vec::new());
    while let Some(step) = watch.next().await {
        match step {
            Ok(event) => {
                pauses = retry::pauses();
                take_in(&workloads, &mut listing, event);
                complain(&complaint, None);
            }
            Err(error) => {
                complain(&complaint, Some(&explain("pods", &error)));
                sleep(pauses.next().unwrap_or(limits::API_RETRY_MAX)).await;
            }
        }
    }
}

/// A list comes in pieces, and only the whole of it says which pods are gone.
fn take_in(workloads: &Workloads, listing: &mut Vec<WatchedPod>, event: Event<WatchedPod>) {
    match event {
        Event::Init => listing.clear(),
        Event::InitApply(pod) => listing.push(pod),
        Event::InitDone => workloads.replace(std::mem::take(listing)),
        Event::Apply(pod) => workloads.apply(pod),
        Event::Delete(pod) => workloads.remove(&pod),
    }
}

fn complain(complaint: &Complaint, why: Option<&str>) {
    if !complaint.is_news(why) {
        return;
    }
    match why {
        Some(why) => {
            tracing::warn!("the labelled pods cannot be watched, what is known of them stays: {why}")
        }
        None => tracing::info!("the labelled pods are watched again"),
    }
}
