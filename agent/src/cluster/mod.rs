//! What is asked of the cluster: the state of the node, and what it means. It imports `config` and `base`, and knows neither
//! the volume nor the processes.

pub mod controller;
pub mod node;
