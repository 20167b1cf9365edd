//! What a source tells; the one thing that sources and the index both know.

use crate::node::Node;

/// What a source tells.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// All nodes that exist.
    Listed(Vec<Node>),
    /// A node that exists.
    Applied(Node),
    /// A node that was deleted.
    Deleted(String),
    /// The source is lost, and why; what is known may be old until the next other event.
    Lost(String),
}
