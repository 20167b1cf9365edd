//! How many agents wait for a change, and what they say of their programs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use crik_api::{PROTECTION_HEADER, Protection};

/// The word for those that say nothing: they do not know yet, or are no agents of this release.
const UNTOLD: &str = "untold";

/// What those say that wait now.
#[derive(Clone, Default)]
pub struct Agents(Arc<Mutex<BTreeMap<&'static str, usize>>>);

/// One that waits, until this is dropped.
pub struct Waiting {
    agents: Agents,
    says: &'static str,
}

impl Agents {
    /// Counts who asks with these headers.
    pub fn enter(&self, headers: &HeaderMap) -> Waiting {
        let said = headers.get(PROTECTION_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        let says = said.map_or(UNTOLD, Protection::as_str);
        self.count(says, |number| number + 1);
        Waiting { agents: self.clone(), says }
    }

    /// How many say what.
    pub fn now(&self) -> BTreeMap<&'static str, usize> {
        let none = Protection::ALL.map(Protection::as_str).into_iter().chain([UNTOLD]).map(|word| (word, 0));
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        none.chain(counted.iter().map(|(&word, &number)| (word, number))).collect()
    }

    fn count(&self, says: &'static str, change: impl FnOnce(usize) -> usize) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = counted.entry(says).or_default();
        *number = change(*number);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.agents.count(self.says, |number| number.saturating_sub(1));
    }
}
