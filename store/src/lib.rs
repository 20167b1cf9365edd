//! Where checkpoints are kept: one checkpoint, and the image directory that it is in. It knows neither a process nor the cluster.
//!
//! A room imports only rooms further right; of names between commas none imports the other. `tests/tests/layers.rs` reads the rule
//! here:
//!
//! ```text
//!     generation > image_dir, chunks > backend, encryption > base
//! ```

pub mod backend;
pub mod base;
pub mod chunks;
pub mod encryption;
pub mod generation;
pub mod image_dir;
