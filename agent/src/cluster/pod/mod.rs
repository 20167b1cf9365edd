//! Who ends the pod, if anybody does: asked when the agent is told to stop. It imports what the room `cluster` may, and
//! `controller`.

mod asking;
mod grace;
mod name;
mod unknown;

pub use asking::Asking;
pub use grace::after_sigterm;
pub use name::PodName;
pub use unknown::PodUnknown;
