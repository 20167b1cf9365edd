//! What the signals may read of a Node object. It is held only until the signals have been looked for.
//!
//! The rest of the object, which is most of it, is skipped while it is read: image lists, managed fields, addresses. The
//! field names are those of the API (k8s.io/api/core/v1).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// A Node, pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Tells a re-created Node of the same name from the old one.
    pub uid: String,
    /// Changes with each boot of the machine.
    pub boot_id: String,
    /// True if `metadata.deletionTimestamp` is set: the Node goes as soon as it has no finalizers.
    pub deleting: bool,
    /// Who has something to do before the Node goes.
    pub finalizers: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// A taint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, often empty.
    #[serde(default, deserialize_with = "or_empty")]
    pub value: String,
    /// Its effect.
    #[serde(default, deserialize_with = "or_empty")]
    pub effect: String,
}

impl fmt::Display for Taint {
    /// As kubectl writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{equals}{}:{}", self.key, self.value, self.effect)
    }
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason.
    #[serde(default, deserialize_with = "or_empty")]
    pub reason: String,
    /// Its message.
    #[serde(default, deserialize_with = "or_empty")]
    pub message: String,
}

/// The status of the condition Ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ready {
    /// The kubelet says that the node can take pods.
    True,
    /// It says that it cannot.
    False,
    /// It says nothing, or has not yet.
    #[default]
    Unknown,
}

impl Node {
    /// The status of the condition Ready.
    pub fn ready(&self) -> Ready {
        let ready = self.conditions.iter().find(|condition| condition.kind == "Ready");
        match ready.map(|condition| &*condition.status) {
            Some("True") => Ready::True,
            Some("False") => Ready::False,
            _ => Ready::Unknown,
        }
    }
}

/// A Node object as it is read. A field that is null is as good as absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Object {
    /// What every object has.
    pub metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

/// What every object has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// The name; required, but what an error says of its lack is better said later.
    pub name: Option<String>,
    /// Where a watch goes on.
    pub resource_version: Option<String>,
    uid: Option<String>,
    deletion_timestamp: Option<IgnoredAny>,
    finalizers: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: Option<bool>,
    taints: Option<Vec<Taint>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    conditions: Option<Vec<Condition>>,
    node_info: Option<Info>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Info {
    #[serde(rename = "bootID")]
    boot_id: Option<String>,
}

fn or_empty<'de, D: Deserializer<'de>>(text: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(text)?.unwrap_or_default())
}

impl From<Object> for Node {
    fn from(Object { metadata, spec, status }: Object) -> Self {
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        Self {
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            boot_id: status.node_info.and_then(|info| info.boot_id).unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: metadata.finalizers.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            unschedulable: spec.unschedulable.unwrap_or_default(),
            taints: spec.taints.unwrap_or_default(),
            conditions: status.conditions.unwrap_or_default(),
        }
    }
}
