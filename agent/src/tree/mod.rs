//! What is frozen: the processes, and CRIU, which freezes them. It imports `config` and `base`, and knows neither where an
//! image is kept nor why one is made.

pub mod criu;
pub(crate) mod process;

pub use process::capabilities;
