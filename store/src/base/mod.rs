//! What the store stands on, and the agent too: each fixed number and fault point, and how one waits for a volume. It imports no
//! other room.

pub mod fault_points;
pub mod headway;
pub mod kernel_pages;
pub mod limits;
pub mod nonce;
pub mod panics;
pub mod point_of_no_return;
pub mod processor_time;
pub mod retry;
pub mod side_by_side;
pub mod step_thread;
pub mod trust;
pub mod units;
pub mod watchdog;
