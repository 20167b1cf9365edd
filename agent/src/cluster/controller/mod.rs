//! The wire to crik-controller: its replicas, and questions to them. It imports what the room `cluster` may.

pub mod addresses;
pub mod ask_all;
mod connection;
pub mod endpoint;
pub mod moves;
pub mod replica;
pub mod report;
mod tls;
pub mod token;
pub mod unknown;
