//! Who waits for which pod. A pod's listeners share one bell, which exists only as long as there are any.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::Workloads;
use super::workload::Workload;

/// The bells by `NAMESPACE/NAME`.
#[derive(Default)]
pub struct Bells(HashMap<Box<str>, watch::Sender<()>>);

impl Bells {
    /// The pod's bell.
    pub fn add(&mut self, pod: &str) -> watch::Receiver<()> {
        if let Some(bell) = self.0.get(pod) {
            return bell.subscribe();
        }
        let (bell, ear) = watch::channel(());
        self.0.insert(pod.into(), bell);
        ear
    }

    /// Wakes those who wait for this pod.
    pub fn ring(&self, pod: &str) {
        if let Some(bell) = self.0.get(pod) {
            bell.send_replace(());
        }
    }

    /// Wakes all.
    pub fn ring_all(&self) {
        self.0.values().for_each(|bell| bell.send_replace(()));
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes down a bell that nobody hears.
    fn tidy(&mut self, pod: &str) {
        if self.0.get(pod).is_some_and(|bell| bell.receiver_count() == 0) {
            self.0.remove(pod);
        }
    }
}

/// One who waits for a pod.
pub struct Listener {
    workloads: Arc<Workloads>,
    pod: Box<str>,
    /// None only while it is dropped.
    ear: Option<watch::Receiver<()>>,
}

impl Listener {
    pub(super) fn new(workloads: Arc<Workloads>, pod: &str, ear: watch::Receiver<()>) -> Self {
        Self { workloads, pod: pod.into(), ear: Some(ear) }
    }

    /// The pod now, if it is known.
    pub fn workload(&self) -> Option<Arc<Workload>> {
        self.workloads.get(&self.pod)
    }

    /// Returns when something was told of the pod since this listener was made or last woken. Can be dropped and called again.
    pub async fn told(&mut self) {
        if let Some(ear) = &mut self.ear {
            // The bell lives as long as this listener.
            let _ = ear.changed().await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut bells = self.workloads.bells();
        drop(self.ear.take());
        bells.tidy(&self.pod);
    }
}
