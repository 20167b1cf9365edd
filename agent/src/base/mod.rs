//! What every room stands on: each fixed number, exit code and fault point, the log, and how one waits. It imports no other
//! room.

pub mod bounded_step;
pub mod exit_codes;
pub mod fault_points;
pub mod limits;
pub mod logging;
pub mod panics;
pub mod point_of_no_return;
pub mod replace_file;
pub mod retry;
pub mod signals;
pub mod units;
