//! What every room stands on: each fixed number, exit code and fault point, the log, and how one waits. It imports no other
//! room.

pub(crate) mod bounded_step;
pub mod edit;
pub(crate) mod exit_codes;
pub mod fault_points;
pub mod free_memory;
pub mod headway;
pub(crate) mod limits;
pub(crate) mod logging;
pub(crate) mod memory;
pub(crate) mod panics;
pub(crate) mod point_of_no_return;
pub(crate) mod replace_file;
pub(crate) mod retry;
pub(crate) mod side_by_side;
pub(crate) mod signals;
pub(crate) mod step_thread;
pub(crate) mod termination_message;
pub(crate) mod units;
pub(crate) mod volume_wait;
pub(crate) mod watchdog;
pub(crate) mod whole_story;
