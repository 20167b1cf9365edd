//! The in-pod agent: runs a program, freezes it when its node goes away, and goes on with it elsewhere.
//!
//! Data flows one way, and the file names tell it:
//!
//! ```text
//! stop:   signal → decide → freeze → commit → exit
//! start:  find → verify → claim → restore → supervise
//! ```
//!
//! [`start`] and [`stop`] are the two stories; only they call across stages, and the stages do not know each other.

pub mod adopt;
pub mod cgroups;
pub mod checks;
pub mod claim;
pub mod cli;
pub mod commit;
pub mod config;
pub mod criu;
pub mod decide;
pub mod digest;
pub mod durable;
pub mod ended;
pub mod ends;
pub mod exit;
pub mod extra_files;
pub mod find;
pub mod freeze;
pub mod identity;
pub mod image_dir;
pub mod init;
pub mod limits;
pub mod logging;
pub mod manifest;
pub mod node_state;
pub mod pids;
pub mod reap;
pub mod restore;
pub mod run;
pub mod spawn;
pub mod start;
pub mod stdio;
pub mod stop;
pub mod supervise;
pub mod tree;
pub mod verify;
