//! Sends reports, one at a time and in their order, each again until it is taken or refused for good.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::{sleep, timeout};

use super::mailbox::{Mailbox, State};
use super::outlook::{Next, Outlook};
use super::queue::Waiting;
use crate::base::fault_points::hurried;
use crate::base::limits;
use crate::cluster::controller::unknown::Unknown;
use crate::cluster::node::Node;

/// For ever. Nothing is waited for but news as long as nothing waits to be sent.
pub async fn go_on(mailbox: Arc<Mailbox>, node: Arc<Node>) {
    let mut outlook = Outlook::default();
    loop {
        let Some(waiting) = mailbox.first() else {
            mailbox.news.notified().await;
            continue;
        };
        match send(&mailbox, &node, &waiting).await {
            Ok(()) => {
                outlook.is_taken();
                mailbox.is_done_with(&waiting);
            }
            Err(failure) => heed(&mailbox, &mut outlook, &waiting, &failure).await,
        }
    }
}

async fn send(mailbox: &Mailbox, node: &Node, waiting: &Waiting) -> Result<(), Unknown> {
    let report = serde_json::to_vec(&mailbox.report(waiting));
    let report = report.map_err(|error| Unknown::Garbage(error.to_string()))?;
    node.report(Bytes::from(report)).await
}

async fn heed(mailbox: &Mailbox, outlook: &mut Outlook, waiting: &Waiting, failure: &Unknown) {
    tracing::debug!(step = "report", "report {} is not taken: {failure}", waiting.number);
    match outlook.after(failure) {
        Next::Again { pause, is_asked_for: true } => rest(mailbox, pause).await,
        // One more may be of a controller that is back, and what is told of a move is waited for.
        Next::Again { pause, is_asked_for: false } => {
            let _ = timeout(pause, mailbox.news.notified()).await;
        }
        Next::Dropped => {
            tell_dropped(outlook, failure);
            mailbox.is_done_with(waiting);
        }
        Next::Refused => {
            tell_refused(outlook, failure);
            rest(mailbox, hurried(limits::REPORTS_REFUSED)).await;
        }
    }
}

/// Nothing is sent, nor waited for at the end.
async fn rest(mailbox: &Mailbox, pause: Duration) {
    mailbox.state.send_replace(State::Refused);
    sleep(pause).await;
    mailbox.state.send_replace(State::Sending);
}

fn tell_dropped(outlook: &mut Outlook, failure: &Unknown) {
    if outlook.is_news(failure) {
        tracing::warn!(
            step = "report",
            "a report of this program is lost, since the controller cannot read it: {failure}; is it of another release?"
        );
    }
}

/// A controller that takes no reports is no mistake, and one that does not believe this pod is.
fn tell_refused(outlook: &mut Outlook, failure: &Unknown) {
    if !outlook.is_news(failure) {
        return;
    }
    match failure {
        Unknown::Refused(refusal) if matches!(refusal.status.as_u16(), 401 | 403) => tracing::warn!(
            step = "report",
            "nothing of this program is told in the cluster, nor can an eviction wait for its checkpoint: {failure}"
        ),
        _ => tracing::info!(
            step = "report",
            "the controller takes no reports of programs; if they are wanted, it must be of this release and have them on"
        ),
    }
}
