//! What is kept of a labelled pod.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crik_api::report::{LastCheckpoint, LastFailure, LastStart, Move, ReportId, ToldProtection};
use serde::Deserialize;

/// A labelled pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// `NAMESPACE/NAME`.
    pub pod: Arc<str>,
    /// Tells it from others of its name.
    pub uid: Box<str>,
    /// Changes with each write of the Pod.
    pub resource_version: Box<str>,
    /// The node that it is bound to; empty until then.
    pub node: Box<str>,
    /// How far its life is.
    pub phase: Phase,
    /// True if it is being deleted.
    pub is_ending: bool,
    /// Whether it names the readiness gate [`RESTORED`](crik_api::report::RESTORED).
    pub has_gate: bool,
    /// What that condition says; none if nobody has set it.
    pub is_restored: Option<bool>,
    /// How long its evictions may be held up, if it says so.
    pub eviction_deadline: Option<Duration>,
    /// Its newest checkpoint.
    pub last_checkpoint: Option<Box<LastCheckpoint>>,
    /// Why there is no newer one, if it has failed.
    pub last_failure: Option<Box<LastFailure>>,
    /// How its program started.
    pub last_start: Option<Box<LastStart>>,
    /// Whether its program could go on elsewhere; its agent can be heard if this is there.
    pub protection: Option<ToldProtection>,
    /// The move that an eviction has asked for.
    pub moving: Option<Move>,
    /// The last report that was taken.
    pub last_report: Option<ReportId>,
    /// Its labels, while there is a move, by which PodDisruptionBudgets select it.
    pub labels: BTreeMap<String, String>,
}

impl Phase {
    /// Whether nothing of the pod runs any more.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
}

impl Workload {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.pod.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Whether it has something that is to be kept before it is evicted.
    pub fn is_to_be_kept(&self) -> bool {
        let is_protected = self.protection.as_ref().is_some_and(|told| told.protected);
        is_protected && self.phase == Phase::Running && !self.is_ending
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.pod.split_once('/').map_or("", |(_, name)| name)
    }
}

/// How far a pod's life is (k8s.io/api/core/v1, `PodPhase`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Phase {
    /// Not all of its containers have started.
    Pending,
    /// At least one runs or is started again.
    Running,
    /// All have ended well.
    Succeeded,
    /// All have ended, one of them not well.
    Failed,
    /// Nothing is said, or a word of a later release.
    #[default]
    #[serde(other)]
    Unknown,
}
