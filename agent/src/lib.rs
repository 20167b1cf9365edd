//! The in-pod agent: runs a program, freezes it when its node goes away, and goes on with it elsewhere.
//!
//! Data flows one way, and the file names tell it:
//!
//! ```text
//! stop:   signal → decide → freeze → commit → exit
//! start:  acquire → find → verify → claim → restore → supervise
//! ```
//!
//! [`start`] with its [`ladder`] and [`stop`] with its [`checkpoint`] are the two stories; only they call across stages, and
//! the stages do not know each other. Between them is [`live`].

pub mod base;
pub mod carry;
pub mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod doctor;
pub mod restore;
pub mod store;
pub mod supervise;
pub mod tree;
pub mod workload;
