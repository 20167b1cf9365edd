//! Who ends the pod, if anybody does: asked when the agent is told to stop; and what the pod's object tells of crik. It imports
//! what the room `cluster` may, and `controller`.

mod asking;
mod container;
mod grace;
mod name;
mod unknown;

pub use asking::Asking;
pub use container::{UnknownContainer, crik_of, under_crik};
pub use grace::after_sigterm;
pub use name::PodName;
pub use unknown::PodUnknown;
