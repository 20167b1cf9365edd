//! News of the node, and what of it is worth a line in the log.

use std::sync::Arc;

use tokio::sync::watch;

use super::Knowledge;
use super::unlearned::Unlearned;

/// Makes `news` known. Who waits for news is woken only if it is any.
pub fn publish(known: &watch::Sender<Knowledge>, news: Knowledge) {
    known.send_if_modified(|before| {
        tell(before, &news);
        let same = match (&*before, &news) {
            (Ok(before), Ok(now)) => before == now,
            _ => false,
        };
        *before = news;
        !same
    });
}

fn tell(before: &Knowledge, now: &Knowledge) {
    match (before, now) {
        (Ok(before), Ok(now)) if before.state != now.state => {
            tracing::info!(state = %now.state, "node state changed");
        }
        (Ok(_), Err(error)) => tracing::warn!("node state lost: {error}"),
        (Err(before), Err(error)) if is_first(before) || before.to_string() != error.to_string() => {
            tracing::warn!("the node's state is not known: {error}");
        }
        (Err(before), Ok(now)) if is_first(before) => {
            tracing::debug!(state = %now.state, "node state learned")
        }
        (Err(_), Ok(now)) => tracing::info!(state = %now.state, "node state learned"),
        _ => {}
    }
}

fn is_first(error: &Arc<Unlearned>) -> bool {
    matches!(**error, Unlearned::NotYet)
}
