//! The pods with the label that puts them under crik, and what stands on them of their programs. May import `base`.
//!
//! A pod is known here by `NAMESPACE/NAME`. What is known is as new as the last that the watch told: whoever decides something that
//! cannot be taken back reads the Pod itself.

mod annotations;
mod bells;
mod counts;
mod known;
mod watch;
mod watched_pod;
mod workload;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::bells::Bells;
pub use self::bells::Listener;
pub use self::counts::{Counts, age};
use self::known::Known;
pub use self::watch::run;
pub use self::watched_pod::WatchedPod;
pub use self::workload::{Phase, Workload};

/// The labelled pods of all namespaces. Cheap to ask; a wait costs nothing until its own pod changes.
#[derive(Default)]
pub struct Workloads {
    known: Mutex<Known>,
    bells: Mutex<Bells>,
}

impl Workloads {
    /// True once the first list is complete, and for ever after.
    pub fn is_complete(&self) -> bool {
        self.known().is_complete()
    }

    /// One pod, by `NAMESPACE/NAME`.
    pub fn get(&self, pod: &str) -> Option<Arc<Workload>> {
        self.known().get(pod)
    }

    /// All of them, by their names.
    pub fn all(&self) -> Vec<Arc<Workload>> {
        self.known().all()
    }

    /// Those that are to be moved, or were, as far as the watch has told.
    pub fn moved(&self) -> Vec<Arc<Workload>> {
        self.known().moved()
    }

    /// One who waits for this pod, known or not, to change. What changes from now on wakes it, so look at the pod only after this.
    pub fn listen(self: &Arc<Self>, pod: &str) -> Listener {
        let ear = self.bells().add(pod);
        Listener::new(Arc::clone(self), pod, ear)
    }

    /// What the watch tells: a pod that was added or changed.
    fn apply(&self, pod: WatchedPod) {
        let rung = self.known().apply(pod);
        self.bells().ring(&rung);
    }

    /// A pod that was deleted, or has lost its label.
    fn remove(&self, pod: &WatchedPod) {
        let rung = pod.workload.pod.clone();
        self.known().remove(&rung);
        self.bells().ring(&rung);
    }

    /// All pods that exist.
    fn replace(&self, pods: Vec<WatchedPod>) {
        self.known().replace(pods);
        self.bells().ring_all();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bells(&self) -> MutexGuard<'_, Bells> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
