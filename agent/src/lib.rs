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

pub mod acquire;
pub mod adopt;
pub mod advice;
pub mod attempt;
pub mod background;
pub mod beneath;
pub mod cancel;
pub mod carry;
pub mod cgroups;
pub mod checkpoint;
pub mod checks;
pub mod claim;
pub mod cli;
pub mod commit;
pub mod config;
pub mod control;
pub mod criu;
pub mod decide;
pub mod defect;
pub mod digest;
pub mod dump_progress;
pub mod durable;
pub mod ended;
pub mod ends;
pub mod exit;
pub mod extra_files;
pub mod fault;
pub mod find;
pub mod freeze;
pub mod heartbeat;
pub mod hold;
pub mod holder;
pub mod hooks;
pub mod house;
pub mod identity;
pub mod image_dir;
pub mod images;
pub mod init;
pub mod ladder;
pub mod last_call;
pub mod limits;
pub mod live;
pub mod logging;
pub mod lookout;
pub mod manifest;
pub mod members;
pub mod node_state;
pub mod notice;
pub mod pace;
pub mod patience;
pub mod pids;
pub mod pod;
pub mod programs;
pub mod reap;
pub mod restore;
pub mod restored;
pub mod retry;
pub mod room;
pub mod run;
pub mod rung;
pub mod setup;
pub mod sign;
pub mod signals;
pub mod spawn;
pub mod speed;
pub mod staging;
pub mod start;
pub mod stdio;
pub mod stop;
pub mod supervise;
pub mod tools;
pub mod tree;
pub mod until;
pub mod verdict;
pub mod verify;
pub mod when;
