//! All nodes, and who waits for which of them to change. May import `event`, `signals` and `base`.

mod change;
mod counts;
mod nodes;
mod remembered;
mod tracked;
mod waiters;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crik_api::NodeStatus;
use tokio::sync::{Notify, broadcast};

pub use self::change::{Change, NodeChange};
pub use self::counts::Counts;
use self::nodes::Nodes;
use self::remembered::Moment;
pub use self::waiters::Waiter;
use crate::event::Event;

/// The nodes by name. Cheap to ask; a wait costs nothing until its own node changes.
pub struct Index {
    nodes: Mutex<Nodes>,
    born: Instant,
    due: Notify,
}

impl Index {
    /// One that knows nothing yet, and says so.
    pub fn new() -> Self {
        // Random, since replicas may start at the same time and a clock may be set back.
        let epoch = RandomState::new().hash_one(std::process::id());
        Self { nodes: Mutex::new(Nodes::new(epoch)), born: Instant::now(), due: Notify::new() }
    }

    /// Takes in what a source tells.
    pub fn apply(&self, event: Event) {
        let mut nodes = self.lock();
        let due = nodes.next_due();
        nodes.apply(event, self.now());
        if nodes.next_due() != due {
            self.due.notify_one();
        }
    }

    /// Does what is due by time alone: forgets deleted nodes.
    pub fn tick(&self) {
        self.lock().tick(self.now());
    }

    /// When [`Index::tick`] is next due.
    pub fn next_due(&self) -> Option<Instant> {
        Some(self.born + self.lock().next_due()?)
    }

    /// Returns when [`Index::next_due`] has changed; at once if it has since the last time. For one caller.
    pub async fn due_changed(&self) {
        self.due.notified().await;
    }

    /// True once the first list is complete, and for ever after.
    pub fn is_ready(&self) -> bool {
        self.lock().listed
    }

    /// The status of one node; `unknown` if it was never seen. None until the first list is complete.
    pub fn get(&self, name: &str) -> Option<NodeStatus> {
        let nodes = self.lock();
        nodes.listed.then(|| nodes.status(name))
    }

    /// The statuses of all nodes, by name. None until the first list is complete.
    pub fn all(&self) -> Option<Vec<NodeStatus>> {
        let nodes = self.lock();
        nodes.listed.then(|| nodes.statuses())
    }

    /// One who waits for the node of this name, known or not. What changes from now on wakes it, so look at the node
    /// only after this.
    pub fn watch(self: &Arc<Self>, name: &str) -> Waiter {
        let bell = self.lock().waiters.add(name);
        Waiter::new(Arc::clone(self), name, bell)
    }

    /// All changes from now on. Whoever falls more than [`limits::CHANGES_KEPT`](crate::base::limits::CHANGES_KEPT) behind is
    /// told so by [`broadcast::error::RecvError::Lagged`] and has to look at all nodes again.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.lock().changes.subscribe()
    }

    /// The changes from now on by which a node begins to shut down or ends to, those of the first list among them. They
    /// are told on their own, so that many others do not push them out.
    pub fn shutdowns(&self) -> broadcast::Receiver<Arc<NodeChange>> {
        self.lock().shutdowns.subscribe()
    }

    /// Numbers for metrics.
    pub fn counts(&self) -> Counts {
        self.lock().counts(self.now())
    }

    fn now(&self) -> Moment {
        self.born.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
