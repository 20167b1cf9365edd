//! Whether a pod may be evicted now, or is to take a checkpoint first. Rules alone: they ask nobody and know no clock. May import
//! `base`.

mod decision;
mod ledger;
mod limits;
mod reason;
mod room;
mod standing;
#[cfg(test)]
mod tests;

pub use self::decision::{Facts, Verdict, decide};
pub use self::ledger::Ledger;
pub use self::limits::Limits;
pub use self::reason::Reason;
pub use self::room::{Candidate, Other, turn};
pub use self::standing::{Standing, standing};
