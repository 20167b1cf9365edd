//! What is done about files that a tree has open and a generation does not hold: those of volumes are brought back to their
//! length.

mod cut;
mod mounts;
mod note;

pub use cut::{Cuts, OpenFileError, Place, cut};
pub use note::note;
