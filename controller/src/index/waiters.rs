//! Who waits for which node. A node's waiters share one bell, which exists only as long as there are any.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crik_api::NodeStatus;
use tokio::sync::watch;

use super::Index;

/// The bells by node name.
#[derive(Default)]
pub struct Waiters(HashMap<Box<str>, Bell>);

/// Tells when it was last rung.
type Bell = watch::Sender<Instant>;

impl Waiters {
    /// The node's bell.
    pub fn add(&mut self, name: &str) -> watch::Receiver<Instant> {
        if let Some(bell) = self.0.get(name) {
            return bell.subscribe();
        }
        let (bell, ear) = watch::channel(Instant::now());
        self.0.insert(name.into(), bell);
        ear
    }

    /// Wakes those who wait for this node.
    pub fn wake(&self, name: &str) {
        if let Some(bell) = self.0.get(name) {
            bell.send_replace(Instant::now());
        }
    }

    /// Wakes all.
    pub fn wake_all(&self) {
        self.0.values().for_each(|bell| {
            bell.send_replace(Instant::now());
        });
    }

    /// How many wait.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.values().map(watch::Sender::receiver_count).sum()
    }

    /// How many bells there are.
    #[cfg(test)]
    pub fn bells(&self) -> usize {
        self.0.len()
    }

    /// Takes down a bell that nobody hears.
    fn tidy(&mut self, name: &str) {
        if self.0.get(name).is_some_and(|bell| bell.receiver_count() == 0) {
            self.0.remove(name);
        }
    }
}

/// One who waits for a node.
pub struct Waiter {
    index: Arc<Index>,
    name: Box<str>,
    /// None only while it is dropped.
    bell: Option<watch::Receiver<Instant>>,
}

impl Waiter {
    pub(super) fn new(index: Arc<Index>, name: &str, bell: watch::Receiver<Instant>) -> Self {
        Self { index, name: name.into(), bell: Some(bell) }
    }

    /// The node's status now; none until the first list is complete.
    pub fn status(&self) -> Option<NodeStatus> {
        self.index.get(&self.name)
    }

    /// How long ago the node last changed; how long this waiter is there if it has not.
    pub fn since_change(&self) -> Duration {
        self.bell.as_ref().map(|bell| bell.borrow().elapsed()).unwrap_or_default()
    }

    /// Returns when the node's status, or whether it is stale, has changed since this waiter was made or last woken. Can
    /// be dropped and called again.
    pub async fn changed(&mut self) {
        if let Some(bell) = &mut self.bell {
            // The bell lives as long as this waiter.
            let _ = bell.changed().await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut nodes = self.index.lock();
        drop(self.bell.take());
        nodes.waiters.tidy(&self.name);
    }
}
