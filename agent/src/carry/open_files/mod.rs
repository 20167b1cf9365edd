//! What is done about files that a tree has open and a generation does not hold: those of volumes are brought back to their
//! length, and those that have lost their name have one while CRIU works.

mod cut;
mod keep;
mod lost_names;
mod mounts;
mod note;
mod place;

pub use cut::{Cuts, OpenFileError, Place, cut};
pub use keep::keep;
pub use lost_names::LostNames;
pub use note::note;
pub use place::{Placed, place};
