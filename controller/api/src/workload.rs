//! What the controller knows of the pods under crik: the answer to `GET /v1/workloads`.

use serde::{Deserialize, Serialize};

use crate::NodeState;
use crate::report::{LastCheckpoint, LastFailure, LastStart, Move, ToldProtection};

/// A pod with the label that puts it under crik.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Tells the pod from another one of its name.
    pub uid: String,
    /// The node that it is bound to; none until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The state of that node.
    pub node_state: NodeState,
    /// How far the pod's life is, in the words of its status: `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// True if the pod is being deleted.
    #[serde(default)]
    pub ending: bool,
    /// Whether its program could go on elsewhere; none if nothing was heard of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<ToldProtection>,
    /// Its newest checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<LastCheckpoint>,
    /// How long ago that was durable, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_age_seconds: Option<f64>,
    /// Why there is no newer one, if it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastFailure>,
    /// How its program started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_start: Option<LastStart>,
    /// The move that an eviction has asked for.
    #[serde(default, rename = "move", skip_serializing_if = "Option::is_none")]
    pub moving: Option<Move>,
}

/// The answer to `GET /v1/workloads`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadList {
    /// The pods by namespace and name; or those of them that were asked for.
    pub workloads: Vec<Workload>,
    /// What gives the next page as `?continue=`, if this is not the last one. Opaque.
    #[serde(default, rename = "continue", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
