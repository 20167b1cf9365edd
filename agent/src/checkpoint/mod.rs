//! Takes a checkpoint: room, freeze, commit, each step given up when it takes too long. It imports `workload`, `carry`, the
//! pillars, `config` and `base`, and does not know `restore`.

mod another_try;
pub mod checkpointer;
pub mod deadlines;
pub mod dump_progress;
mod forecast;
pub mod freeze;
pub mod kept_trial;
mod log_lines;
mod manifest_of;
mod quiet;
mod removed_paths;
pub mod standing_tree;
pub mod stream_dump;
pub mod volume_speed;
pub mod warm_up;
