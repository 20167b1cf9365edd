//! What is asked for, one file a route. May import what `serve` may, and all of `serve` but its `router`.

pub mod events;
pub mod go_agent;
pub mod health;
pub mod metrics;
pub mod node;
pub mod nodes;
pub mod openapi;
