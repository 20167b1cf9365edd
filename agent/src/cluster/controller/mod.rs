//! The wire to crik-controller: its replicas, and questions to them. It imports what the room `cluster` may.

pub mod addresses;
mod connection;
pub mod endpoint;
pub mod replica;
mod tls;
mod token;
pub mod unknown;
