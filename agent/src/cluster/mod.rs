//! What is asked of the cluster: the state of the node, who ends the pod, and what that means. It imports `config` and `base`,
//! and knows neither the volume nor the processes.

pub mod controller;
pub mod node;
pub mod pod;
