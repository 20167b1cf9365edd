//! What is done about files that a tree has open and a generation does not hold: those of volumes are brought back to their
//! length, and those that have lost their name have one while CRIU works.

mod cut;
mod error;
mod follow;
mod keep;
mod lost_names;
mod note;
mod place;
mod reachable;
mod volumes;

pub use cut::{Cuts, Place, Rules, cut};
pub use error::OpenFileError;
pub use follow::follow;
pub use keep::keep;
pub use lost_names::LostNames;
pub use note::{Noted, note, written};
pub use place::{Placed, place};
pub use reachable::{NextContainer, Reach, UnreachableError, missing, refuse_missing, refuse_unreachable};
