//! The wire to crik-controller: its replicas, and questions to them. It imports what the room `cluster` may.

pub mod addresses;
pub mod ask_all;
mod connection;
pub mod endpoint;
pub mod replica;
mod tls;
pub mod token;
pub mod unknown;
