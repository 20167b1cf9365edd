//! What one replica remembers of evictions that it was asked about: which are still wanted, and which moves it has begun that the watch
//! has not told of yet.

use std::collections::HashMap;

use k8s_openapi::jiff::Timestamp;

use crate::base::limits;

/// By `NAMESPACE/NAME`.
#[derive(Debug, Default)]
pub struct Ledger {
    heard: HashMap<Box<str>, Timestamp>,
    begun: HashMap<Box<str>, Begun>,
}

/// A move that this replica has begun.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The pod's node.
    pub node: Box<str>,
    /// When.
    pub at: Timestamp,
}

impl Ledger {
    /// Somebody wants this pod evicted.
    pub fn hears(&mut self, pod: &str, now: Timestamp) {
        // Those that nobody asks for need not be kept, which is looked at when there is a new one, now and then.
        if self.heard.len().is_power_of_two() && !self.heard.contains_key(pod) {
            self.heard.retain(|_, at| *at + limits::EVICTION_WANTED > now);
        }
        self.heard.insert(pod.into(), now);
    }

    /// Whether somebody does who was heard of lately; `written` is when that was last written down, by whichever replica.
    pub fn is_wanted(&self, pod: &str, written: Option<Timestamp>, now: Timestamp) -> bool {
        let last = self.heard.get(pod).copied().max(written);
        last.is_some_and(|last| last + limits::EVICTION_WANTED > now)
    }

    /// A move of this pod begins, if it has not yet.
    pub fn begins(&mut self, pod: &str, node: &str, now: Timestamp) {
        self.begun.entry(pod.into()).or_insert_with(|| Begun { node: node.into(), at: now });
    }

    /// It does not after all, or the watch has told of it.
    pub fn forget(&mut self, pod: &str) {
        self.begun.remove(pod);
    }

    /// Moves that have begun here and that the watch has not told of.
    pub fn begun(&mut self, now: Timestamp) -> impl Iterator<Item = (&str, &Begun)> {
        self.begun.retain(|_, begun| begun.at + limits::MOVE_BEGINS > now);
        self.begun.iter().map(|(pod, begun)| (&**pod, begun))
    }
}
