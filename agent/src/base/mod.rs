//! What every room stands on: each fixed number, exit code and fault point, the log, and how one waits. It imports no other
//! room; what the store stands on too is that crate's.

pub(crate) mod bounded_step;
pub mod edit;
pub(crate) mod exit_codes;
pub mod free_memory;
pub(crate) mod limits;
pub(crate) mod logging;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod private_directory;
pub(crate) mod replace_file;
pub(crate) mod signals;
pub(crate) mod table;
pub(crate) mod termination_message;
pub(crate) mod volume_wait;
pub(crate) mod whole_story;

pub use crik_store::base::{
    fault_points, headway, kernel_pages, panics, point_of_no_return, retry, side_by_side, step_thread, trust,
    units, watchdog,
};
