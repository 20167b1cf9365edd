//! What is asked for, one file a route. May import what `serve` may, and all of `serve` but its `router`.

pub(super) mod events;
pub(super) mod go_agent;
pub(super) mod health;
pub(super) mod metrics;
pub(super) mod node;
pub(super) mod nodes;
pub(super) mod openapi;
pub(super) mod pod;
pub(super) mod reports;
pub(super) mod workloads;
