//! News of the node, and what of it is worth a line in the log.

use std::sync::Arc;

use crik_api::NodeStatus;
use tokio::sync::watch;

use crate::cluster::controller::unknown::Unknown;
use crate::cluster::node::knowledge::Knowledge;

/// Makes `news` known. Who waits for news is woken only if it is any.
pub fn publish(known: &watch::Sender<Knowledge>, news: Knowledge) {
    known.send_if_modified(|before| {
        tell(before, &news);
        let same = match (&*before, &news) {
            (Ok(before), Ok(now)) => is_same(before, now),
            _ => false,
        };
        *before = news;
        !same
    });
}

/// Whether both say the same of the node. Each replica has versions of its own, so a version says nothing here.
pub fn is_same(one: &NodeStatus, other: &NodeStatus) -> bool {
    let NodeStatus { name, state, version: _, reasons, hints, stale } = one;
    (name, state, reasons, hints, stale)
        == (&other.name, &other.state, &other.reasons, &other.hints, &other.stale)
}

fn tell(before: &Knowledge, now: &Knowledge) {
    match (before, now) {
        (Ok(before), Ok(now)) if before.state != now.state => {
            tracing::info!(state = %now.state, "node state changed");
        }
        (Ok(_), Err(error)) => tracing::warn!("node state lost: {error}"),
        (Err(before), Err(error)) if !before.is_like(error) => {
            tracing::warn!(
                "the node's state is not known: {error}; until it is, onUnknown decides what a stop means"
            );
        }
        (Err(before), Ok(now)) if is_first(before) => {
            tracing::debug!(state = %now.state, "node state learned")
        }
        (Err(_), Ok(now)) => tracing::info!(state = %now.state, "node state learned"),
        _ => {}
    }
}

fn is_first(error: &Arc<Unknown>) -> bool {
    matches!(**error, Unknown::NotYet)
}

#[cfg(test)]
mod tests {
    use crik_api::{NodeState, Reason};

    use super::*;

    fn status(version: &str) -> NodeStatus {
        let (name, version) = ("a".to_owned(), version.to_owned());
        NodeStatus {
            name,
            state: NodeState::Ready,
            version,
            reasons: Vec::new(),
            hints: Vec::new(),
            stale: false,
        }
    }

    #[test]
    fn another_version_alone_is_no_news_and_all_else_is() {
        let known = watch::Sender::new(Ok(status("1-1")));
        let mut news = known.subscribe();
        publish(&known, Ok(status("2-1")));
        assert!(!news.has_changed().unwrap());
        let reason = Reason { signal: "s".to_owned(), observed: "o".to_owned() };
        let changes = [
            NodeStatus { state: NodeState::Cordoned, ..status("2-1") },
            NodeStatus { reasons: vec![reason.clone()], ..status("2-1") },
            NodeStatus { hints: vec![reason], ..status("2-1") },
            NodeStatus { stale: true, ..status("2-1") },
        ];
        for change in changes {
            publish(&known, Ok(change.clone()));
            assert!(news.has_changed().unwrap(), "{change:?}");
            news.mark_unchanged();
        }
    }
}
