//! What becomes of an agent's report: what stands on its Pod afterwards, the Event that tells of it, and what is counted. May import
//! `workloads` and `base`.
//!
//! A report is taken once, however often it comes, to whichever replica: its Event has a name of its own, and is written before the Pod
//! is changed, in one patch that says which report it is of and is refused if the Pod was changed meanwhile. It is counted by the one whose
//! patch was taken. So a process may die between any two of these, and the next time that the report comes does the rest.

mod api_server;
mod change;
mod counted;
mod error;
mod of;
mod patch;
mod plausible;
mod take;
mod words;

pub use self::counted::Counted;
pub use self::error::NotTaken;
pub use self::of::Of;
pub use self::take::Reports;
