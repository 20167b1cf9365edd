//! Many nodes, many polls, and what they cost: the parts of `make bench-controller`.

pub mod load;
pub mod node;
pub mod swarm;
pub mod synthetic;
pub mod usage;
