//! The life of the program: how it starts, what happens while it runs, how it stops and ends. It imports every room but `cli`.

mod acquire;
mod background_checkpoints;
mod clocks;
pub mod control_socket;
mod decision;
mod during_checkpoint;
mod environment;
mod housekeeping;
pub mod known;
pub mod lifecycle;
mod looks;
mod next_start;
mod reports;
mod spawn;
pub mod start;
mod stay_stopped;
mod stop;
mod supervisor;
pub mod trial;
mod warm_up;
