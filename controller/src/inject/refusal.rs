//! Why a pod stays as it is, each with what would help.

use k8s_openapi::api::core::v1::Pod;
use thiserror::Error;

use super::facts::Facts;
use super::nodes;
use super::settings::Settings;
use crate::registry::Question;

/// The label by which a namespace says what pods it lets in (Pod Security admission).
const LEVEL: &str = "pod-security.kubernetes.io/enforce";

/// The levels that allow neither the capabilities nor `Unconfined`.
const STRICT: [&str; 2] = ["baseline", "restricted"];

/// Why a pod stays as it is.
#[derive(Debug, Error, PartialEq)]
pub enum Refusal {
    /// The annotation names another container than there are.
    #[error("it has no container {name:?}, which crik.dev/container names; it has {there}")]
    NoSuchContainer {
        /// What the annotation says.
        name: String,
        /// Those that there are.
        there: String,
    },
    /// What the image starts has to be known first.
    #[error("what its image starts has to be looked up")]
    Unasked(Question),
    /// What the image starts is not known.
    #[error("container {0} has no command, and what its image starts is not known: {1}; give it as command")]
    NoCommand(String, String),
    /// The container has a profile that somebody has made for it.
    #[error(
        "the container {container} is under the seccomp profile {profile}, which crik does not take away; it needs Unconfined, so say that for \
         the container"
    )]
    Profile {
        /// The container.
        container: String,
        /// Its profile, by its path at the node.
        profile: String,
    },
    /// crik is for Linux.
    #[error("it is for Windows, where crik cannot work")]
    Windows,
    /// The namespace would refuse the pod with what crik needs.
    #[error(
        "the namespace enforces the Pod Security level {0}, which allows neither CHECKPOINT_RESTORE and SYS_PTRACE nor seccompProfile \
         Unconfined; crik needs privileged"
    )]
    PodSecurity(String),
    /// There is no time for a checkpoint.
    #[error(
        "a gracePeriod of {given} leaves no time for a checkpoint, since reserve and decisionTimeout are {needed}; raise \
         terminationGracePeriodSeconds, or lower crik.dev/reserve"
    )]
    NoTime {
        /// How long the pod has.
        given: String,
        /// What has to fit.
        needed: String,
    },
    /// Nowhere can checkpoints be kept.
    #[error(
        "there is no place for checkpoints; name a claim by crik.dev/volume-claim, or a bucket by crik.dev/image-dir"
    )]
    NoPlace,
    /// The place is no longer there than the pod.
    #[error(
        "{directory} is {what}, which goes with the pod; have crik.dev/image-dir name a directory on a volume, such as \
         /checkpoints/${{POD_NAME}} on that of crik.dev/volume-claim, or a bucket"
    )]
    NotShared {
        /// The image directory.
        directory: String,
        /// What it lies on.
        what: String,
    },
    /// The directory is named by a variable that is something else here.
    #[error(
        "the container {0} has a POD_NAME that is not its pod's name, and {1} is named by it; name another directory by crik.dev/image-dir"
    )]
    OtherName(String, String),
    /// The pod has something of its own where crik is to be.
    #[error("the container {container} has something mounted at {path}, where crik is to be")]
    Taken {
        /// The container.
        container: String,
        /// Where.
        path: String,
    },
}

/// Looks at the pod as a whole.
///
/// # Errors
/// crik cannot work in it.
pub fn of_pod(pod: &Pod, facts: &Facts, settings: &Settings) -> Result<(), Refusal> {
    if nodes::is_windows(pod) {
        return Err(Refusal::Windows);
    }
    let level = facts.namespace.get(LEVEL).or(settings.pod_security_default.as_ref());
    match level.filter(|level| STRICT.contains(&level.as_str())) {
        Some(level) => Err(Refusal::PodSecurity(level.clone())),
        None => Ok(()),
    }
}
