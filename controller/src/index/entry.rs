//! One node of the index, and what is said of it.

use std::sync::OnceLock;

use axum::body::Bytes;

use super::tracked::Tracked;

/// What is kept of a node.
pub struct Entry {
    /// What is remembered of it.
    pub tracked: Tracked,
    /// The number of the change that made it what it is.
    pub change: u64,
    /// What is said of it as long as the source is there, once somebody has asked: it is the same for all, and whoever asks at all
    /// asks again. Many waits are for nodes of which nobody does.
    text: OnceLock<Bytes>,
}

impl Entry {
    /// One that nobody has asked for.
    pub fn new(tracked: Tracked, change: u64) -> Self {
        Self { tracked, change, text: OnceLock::new() }
    }

    /// What is said of it; written by the first who asks.
    pub fn text(&self, write: impl FnOnce() -> serde_json::Result<Bytes>) -> serde_json::Result<Bytes> {
        if let Some(text) = self.text.get() {
            return Ok(text.clone());
        }
        let text = write()?;
        Ok(self.text.get_or_init(|| text).clone())
    }
}
