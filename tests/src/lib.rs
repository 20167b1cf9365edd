//! The harness: real containers, real CRIU, real programs.
//!
//! Everything that a test starts is ended when its handle is dropped, also when the test panics.

pub mod build;
pub mod chain;
pub mod cluster;
pub mod command;
pub mod control_plane;
pub mod controller;
pub mod faulty;
pub mod fleet;
pub mod http;
pub mod network;
pub mod output;
pub mod pod;
pub mod replicas;
pub mod rootfs;
pub mod shared;
pub mod signal_fixture;
pub mod spec;
pub mod story;
pub mod table;
pub mod test_node;
pub mod tools;
pub mod volume;
pub mod wait;
pub mod wire;
