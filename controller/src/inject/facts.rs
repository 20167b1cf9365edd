//! What the rules have to be told of the world around a pod.

use std::sync::Arc;

use super::asked::Labels;
use crate::registry::Image;

/// What is known when the rules are asked.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The labels of the pod's namespace.
    pub namespace: Arc<Labels>,
    /// What the image of the container starts.
    pub entrypoint: Entrypoint,
}

/// What an image starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Entrypoint {
    /// Nobody has looked yet.
    #[default]
    Unasked,
    /// Its registry has said so.
    Known(Arc<Image>),
    /// It could not be learned, with the reason.
    Unknown(String),
}

/// What is known of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// There is none of that name.
    Missing,
    /// It can be mounted in these ways.
    There(Vec<String>),
}

impl Claim {
    /// What whoever creates a pod should know of the claim that its checkpoints are to be kept on.
    pub fn warning(&self, name: &str) -> Option<String> {
        match self {
            Self::Missing => Some(format!(
                "crik: there is no claim {name} in this namespace; the pod waits until there is one, which must be ReadWriteMany"
            )),
            Self::There(modes) if modes.iter().any(|mode| mode == "ReadWriteMany") => None,
            Self::There(modes) => Some(format!(
                "crik: the claim {name} is {}, so the next pod waits until the old node lets go of it, which one that is gone never does; take a \
                 ReadWriteMany one",
                modes.join(", ")
            )),
        }
    }
}
