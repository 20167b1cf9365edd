//! Why a pod was told to stop, as its Pod object says at this moment. Nothing is watched: a cluster has many pods, and few are
//! asked for. May import `base`.

mod ask;
mod grace;
mod pod;
mod read;
mod verdict;

pub use ask::{PodError, Pods};
