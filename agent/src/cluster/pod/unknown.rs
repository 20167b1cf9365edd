//! Why it is not known who ends the pod, in words that say what to do.

use std::sync::Arc;

use thiserror::Error;

use crate::base::limits;
use crate::cluster::controller::unknown::Unknown;

/// Why it is not known who ends the pod.
#[derive(Debug, Clone, Error)]
pub enum PodUnknown {
    /// There is nobody to ask.
    #[error("nobody was asked why")]
    NotAsked,
    /// Nobody has answered in time.
    #[error("the controller has not said why")]
    NotYet,
    /// The pod does not know its name.
    #[error(
        "the pod does not know its namespace, so nobody can be asked why; set {} from metadata.namespace (downward API)",
        limits::POD_NAMESPACE_VARIABLE
    )]
    NoName,
    /// The controller tells nothing of pods, or not of this one.
    #[error("the controller does not say why: {0}")]
    Untold(Arc<Unknown>),
    /// It says it of another pod of this name.
    #[error("the controller tells of another pod of this name, so this one is gone")]
    OtherPod,
    /// It cannot be asked.
    #[error("the controller cannot be asked why: {0}")]
    Failed(Arc<Unknown>),
}

impl From<Arc<Unknown>> for PodUnknown {
    fn from(unknown: Arc<Unknown>) -> Self {
        match &*unknown {
            Unknown::Refused(refusal) if matches!(refusal.status.as_u16(), 400 | 403 | 404) => {
                Self::Untold(unknown)
            }
            _ => Self::Failed(unknown),
        }
    }
}

impl PodUnknown {
    /// Whether to ask again, or to wait for another replica, can change it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NotYet | Self::Failed(_))
    }
}
