//! What the watch has told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::watched_pod::WatchedPod;
use super::workload::Workload;

/// The pods by `NAMESPACE/NAME`.
#[derive(Default)]
pub struct Known {
    complete: bool,
    pods: BTreeMap<Arc<str>, Arc<Workload>>,
    /// Those with a move: few of many, and looked at with each eviction.
    moved: BTreeSet<Arc<str>>,
}

impl Known {
    /// True once the first list is complete.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// One of them.
    pub fn get(&self, pod: &str) -> Option<Arc<Workload>> {
        self.pods.get(pod).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Workload>> {
        self.pods.values().cloned().collect()
    }

    /// Those with a move.
    pub fn moved(&self) -> Vec<Arc<Workload>> {
        self.moved.iter().filter_map(|pod| self.get(pod)).collect()
    }

    /// Takes in one that was added or changed, and tells which.
    pub fn apply(&mut self, WatchedPod { workload, .. }: WatchedPod) -> Arc<str> {
        let pod = Arc::clone(&workload.pod);
        if workload.moving.is_some() {
            self.moved.insert(Arc::clone(&pod));
        } else {
            self.moved.remove(&pod);
        }
        self.pods.insert(Arc::clone(&pod), Arc::new(workload));
        pod
    }

    /// Forgets one.
    pub fn remove(&mut self, pod: &str) {
        self.pods.remove(pod);
        self.moved.remove(pod);
    }

    /// Forgets all but these.
    pub fn replace(&mut self, pods: Vec<WatchedPod>) {
        *self = Self { complete: true, ..Self::default() };
        pods.into_iter().for_each(|pod| drop(self.apply(pod)));
    }
}
