//! Brings a checkpoint back: the newest first, each verified before anything of it runs. It imports `workload`, `carry`, the
//! pillars, `config` and `base`, and does not know `checkpoint`.

mod attempt;
mod clock_back;
pub mod copy;
mod failure;
mod free_ids;
pub mod generation_images;
mod left_out;
mod own_ipc;
mod own_rights;
mod parallel_verify;
mod private_images;
mod restore_tree;
pub mod restored_json;
pub mod resume;
mod stall;
mod stream_images;
mod verified_restore;
pub mod went_on;
