//! Many nodes, many polls, and what they cost: the parts of `make bench-controller`.

pub mod agents;
pub mod changes;
pub mod load;
pub mod node;
pub mod own_network;
pub mod readers;
pub mod rollout;
pub mod sampler;
pub mod storms;
pub mod swarm;
pub mod synthetic;
pub mod template;
pub mod usage;
pub mod way;
