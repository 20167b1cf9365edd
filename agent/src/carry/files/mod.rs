//! What goes over of the container's files: found and taken along while the tree is frozen, and put back before it is restored.

mod amount;
pub mod beginning;
mod beside_dump;
pub mod earlier;
mod error;
mod first_look;
mod holes;
mod image_own;
mod largest;
mod list;
pub mod mounts;
mod open_for_writing;
mod others;
mod pace;
mod places;
mod put_back;
mod resolve;
mod spared;
mod take;
mod walk;
mod watches;

pub use beside_dump::{BesideDump, Carrying};
pub use error::{CarryError, PutBackError};
pub use places::unclear;
pub use put_back::{PutBack, put_back, sweep};
pub use take::Summary;
