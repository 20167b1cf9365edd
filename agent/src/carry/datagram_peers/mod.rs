//! UNIX datagram sockets that the tree sends to and that others have bound: a node's agent for metrics or logs.
//!
//! CRIU knows those of the pod's own network namespace, connects to them anew, and fails where they are not there ([`wait_for`]). Of
//! one that belongs to another pod it cannot know; such a connection is dissolved while it looks ([`Detached`]), and made again both
//! here and in the next pod ([`attach`]).

mod attach;
mod detach;
mod find;
mod wait;

pub use attach::attach;
pub use detach::Detached;
pub use wait::wait_for;
