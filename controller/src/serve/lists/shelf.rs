//! Which texts are there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::Instant;

use super::Text;
use crate::index::Version;

/// The texts that somebody reads, or keeps.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<Vec<Weak<Text>>>>);

impl Shelf {
    /// One more.
    pub fn add(&self, text: &Arc<Text>) {
        self.lock().push(Arc::downgrade(text));
    }

    /// The one of this version.
    pub fn find(&self, version: Version) -> Option<Arc<Text>> {
        self.lock().iter().filter_map(Weak::upgrade).find(|text| text.version == version)
    }

    /// When the first of them may be taken from those who have it.
    pub fn next_due(&self) -> Option<Instant> {
        self.lock().iter().filter_map(due).min()
    }

    /// Takes those away whose time is over.
    pub fn withdraw(&self, now: Instant) {
        // Nobody can find one meanwhile, and begin to read it.
        self.lock().retain(|text| match due(text) {
            Some(due) if due <= now => {
                text.upgrade().inspect(|text| text.withdraw());
                false
            }
            due => due.is_some(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Text>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None if it is not there any more.
fn due(text: &Weak<Text>) -> Option<Instant> {
    let holders = text.strong_count();
    text.upgrade().map(|text| text.due(holders))
}
