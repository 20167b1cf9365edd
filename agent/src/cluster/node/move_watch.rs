//! Waits to be told that the pod is to be moved: an eviction of it waits for a checkpoint.

use std::future::pending;

use tokio::sync::watch;

use crate::cluster::node::Node;

/// Waits for that.
pub struct MoveWatch(Option<watch::Receiver<Option<String>>>);

impl MoveWatch {
    /// For what is told from now on. Without a controller nothing is.
    pub fn new(node: Option<&Node>) -> Self {
        Self(node.and_then(Node::moves))
    }

    /// When the eviction came that is waited for, in the controller's words. Nothing is lost if this is dropped while it waits.
    pub async fn next(&mut self) -> String {
        if let Some(news) = &mut self.0 {
            while news.changed().await.is_ok() {
                if let Some(asked) = news.borrow_and_update().clone() {
                    return asked;
                }
            }
        }
        pending().await
    }
}
