//! Processes, as the kernel shows them, and those of ours that are not the application's. It imports what the room `tree` may.

pub mod beside;
mod beyond_criu;
pub mod borrow;
pub mod capabilities;
mod filters;
pub mod hooks;
pub mod id_holders;
pub mod lacking_rights;
pub mod loopback;
mod memory;
pub mod notify;
pub mod outside;
mod own_network;
pub mod reap;
pub mod rights;
pub mod scratch;
pub mod sessions;
pub mod snapshot;
pub mod sockets;
pub mod steps;
mod system_v;
pub mod time_namespace;
pub mod tracee;
pub mod traffic;
pub mod unfreezable;
pub mod unix_sockets;
pub mod which;
