//! The harness: real containers, real CRIU, real programs.
//!
//! Everything that a test starts is ended when its handle is dropped, also when the test panics.

pub mod chart;
pub mod cluster;
pub mod control_plane;
pub mod controller;
pub mod corpus;
pub mod faulty;
pub mod fleet;
pub mod harness;
pub mod nfs;
pub mod pod;
pub mod suites;

// A test says what it uses, not in which folder that is.
pub use controller::{replicas, signal_fixture, test_node};
pub use harness::{
    bucket, build, command, compile, connect_proxy, http, imports, kubectl_plugin, measure, registry, shared,
    table, tools, wait, wire,
};
pub use pod::{chain, crik, network, node, output, rootfs, spec, story, throttled, ticks, volume};
