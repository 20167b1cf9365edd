//! `make test`: all suites side by side, since most of them mostly wait.
//!
//! A suite is a program that cargo has built of tests; it runs as cargo would run it, and what it says is printed when it ends. All
//! are run whatever fails. cargo-nextest is not what does it: it runs each test in a process of its own, and the tests of a suite share a
//! cluster, a build, an API server.

mod found;
mod order;
mod outcome;
mod report;
mod running;
mod side_by_side;

pub use found::{Suite, build};
use order::Queue;
pub use outcome::Outcome;
pub use report::{Ended, table, verdict};
pub use side_by_side::run;
