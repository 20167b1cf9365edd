//! Ordinary programs, each in a file of its own in `tests/workloads`: how one is started, how state is put into it, and how it is
//! seen from outside that the state is there and that it still works. Each is preempted under load and goes on in another
//! container on another node, again and again; beside crik, plain CRIU has to do the same.

mod checkpoint;
mod cycles;
mod event;
mod kept;
mod material;
mod plain;
mod remedies;
mod report;
mod scripts;
mod workload;

pub use checkpoint::Figures;
pub use cycles::{Outcome, goes_on};
pub use event::{Event, Failure};
pub use kept::Kept;
pub use plain::{Recipe, goes_on_by_criu};
pub use report::{Row, summary, write};
pub use workload::{Group, Workload, workloads};
