//! The in-pod agent: runs a program, freezes it when its node goes away, and goes on with it elsewhere.
//!
//! The two stories are [`supervise::start`] and `supervise/stop.rs`; between them is [`supervise::lifecycle`].
//!
//! ```text
//! start:  acquire → resume (verify → attempt → restore) → or fresh
//! stop:   signal → decide → checkpoint (freeze → commit) → exit
//! ```
//!
//! Each room says in its `mod.rs` what it is for. A room imports only rooms further right; of names between commas none imports
//! the other. `tests/tests/layers.rs` reads the rule here:
//!
//! ```text
//!     cli > kubectl, supervise > doctor > checkpoint, restore > workload > carry > cluster, tree > config > base
//!     inside a pillar: node > pod > controller, criu > process
//! ```

pub mod base;
pub mod carry;
pub(crate) mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod config;
pub(crate) mod doctor;
pub(crate) mod kubectl;
pub(crate) mod restore;
pub(crate) mod supervise;
pub mod tree;
pub(crate) mod workload;
