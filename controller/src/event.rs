//! What a source tells; the one thing that sources and the index both know.

use crate::signals::Observation;

/// What a source tells.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// All nodes that exist, by name.
    Listed(Vec<(Box<str>, Observation)>),
    /// A node that exists.
    Applied(Box<str>, Observation),
    /// A node that was deleted.
    Deleted(Box<str>),
    /// The source is there, and there is nothing new.
    Heard,
    /// The source is lost, and why; what is known may be old until the next other event.
    Lost(String),
}
