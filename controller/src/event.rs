//! What a source tells; the one thing that sources and the index both know.

use std::time::Duration;

use crate::signals::Observation;

/// What a source tells.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// All nodes that exist, by name.
    Listed(Vec<(Box<str>, Observation)>),
    /// A node that exists. It does not end a loss, since others may have changed too.
    Applied(Box<str>, Observation),
    /// A node that was deleted.
    Deleted(Box<str>),
    /// The source is there, and all that it had to tell has been told.
    Heard,
    /// The source is there, and what it had told until so long ago was all that there was: it has said nothing since.
    Proved(Duration),
    /// The source is lost, and why; what is known may be old until the next list, or until it is heard again.
    Lost(String),
}
