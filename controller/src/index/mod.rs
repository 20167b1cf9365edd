//! All nodes, and who waits for which of them to change. May import `event`, `signals` and `base`.

mod change;
mod counts;
mod entry;
mod nodes;
mod remembered;
mod tracked;
mod version;
mod waiters;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use crik_api::NodeStatus;
use tokio::sync::{Notify, broadcast};

pub use self::change::{Change, NodeChange};
pub use self::counts::Counts;
use self::nodes::Nodes;
use self::remembered::Moment;
pub use self::version::Version;
pub use self::waiters::Waiter;
use crate::base::random;
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
        let epoch = random::number();
        Self { nodes: Mutex::new(Nodes::new(epoch)), born: Instant::now(), due: Notify::new() }
    }

    /// Takes in what a source tells.
    pub fn apply(&self, event: Event) {
        let now = self.now();
        match event {
            Event::Listed(all) => nodes::take_in(all, now, |step| self.change(step)),
            event => self.change(|nodes| nodes.apply(event, now)),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Nodes)) {
        let mut nodes = self.lock();
        let due = nodes.next_due();
        change(&mut nodes);
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

    /// The same as JSON.
    pub fn text(&self, name: &str) -> Option<serde_json::Result<Bytes>> {
        let nodes = self.lock();
        nodes.listed.then(|| nodes.text(name))
    }

    /// The version of all that is told; it grows with each change that can be seen from outside. None until the first list
    /// is complete.
    pub fn version(&self) -> Option<Version> {
        let nodes = self.lock();
        nodes.listed.then(|| Version { epoch: nodes.epoch(), change: nodes.version() })
    }

    /// The statuses of the next nodes by name, about [`limits::NODES_AT_ONCE`](crate::base::limits::NODES_AT_ONCE): whoever wants
    /// all must not keep others waiting. None are left if it is empty.
    pub fn page(&self, after: Option<&str>) -> Vec<NodeStatus> {
        self.lock().page(after)
    }

    #[cfg(test)]
    fn all(&self) -> Option<Vec<NodeStatus>> {
        self.version().map(|_| self.page(None))
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
