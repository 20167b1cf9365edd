//! What is read of a Pod object; the rest, which is most of it, is skipped. The names are those of the API (k8s.io/api/core/v1).

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A Pod, pruned. A field that is null is as good as absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// What every object has.
    pub metadata: Metadata,
    /// What it is made of.
    pub spec: Option<Spec>,
    /// What is the case with it.
    pub status: Option<Status>,
}

/// What a pod is made of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Its containers.
    pub containers: Option<Vec<Container>>,
    /// Those that run before, sidecars among them.
    pub init_containers: Option<Vec<Container>>,
}

/// A container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    lifecycle: Option<Lifecycle>,
}

impl Container {
    /// Whether something is run in it before it gets its SIGTERM.
    pub fn has_hook(&self) -> bool {
        self.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lifecycle {
    pre_stop: Option<IgnoredAny>,
}

/// What every object has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Tells it from another one of its name.
    pub uid: Option<String>,
    /// When it was or is to be gone; set by whoever deletes it, for good.
    pub deletion_timestamp: Option<String>,
    /// How long its containers have, in seconds.
    pub deletion_grace_period_seconds: Option<u64>,
    /// Whose it is.
    pub owner_references: Option<Vec<Owner>>,
}

/// Whose a pod is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Such as `StatefulSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether this one makes and deletes the pod.
    pub controller: Option<bool>,
}

/// What is the case with a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Such as `Running`.
    pub phase: Option<String>,
    /// Why it is in this phase, for some.
    pub reason: Option<String>,
    /// The same in more words.
    pub message: Option<String>,
    /// Its conditions.
    pub conditions: Option<Vec<Condition>>,
}

/// A condition.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason.
    pub reason: Option<String>,
    /// Its message.
    pub message: Option<String>,
}
