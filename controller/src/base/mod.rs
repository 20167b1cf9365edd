//! What every room stands on: the numbers with their reasons, the log, errors with their causes, files that change, what is
//! counted and used, when what has failed is tried again, and what one address may have. May import no other room.

pub(crate) mod api_refusal;
pub(crate) mod buckets;
pub(crate) mod causes;
pub(crate) mod cluster_event;
pub(crate) mod complaint;
pub(crate) mod delayed;
pub(crate) mod file_watch;
pub(crate) mod limits;
pub(crate) mod logging;
pub(crate) mod outcomes;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod retry;
pub(crate) mod shortened;
pub(crate) mod turns;
pub(crate) mod watch_error;
