//! What every room stands on: the numbers with their reasons, the log, errors with their causes, files that change, what is
//! counted and used. May import no other room.

pub(crate) mod causes;
pub(crate) mod file_watch;
pub(crate) mod limits;
pub(crate) mod logging;
pub(crate) mod outcomes;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod shortened;
