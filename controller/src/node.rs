//! What the signals need of a Node object; the rest, image lists above all, is dropped before anything is kept.

use k8s_openapi::api::core::v1::Node as Object;

/// A Node, pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Tells a re-created Node of the same name from the old one.
    pub uid: String,
    /// Changes with each boot of the machine.
    pub boot_id: String,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// A taint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its effect.
    pub effect: String,
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Its reason.
    pub reason: String,
    /// Its message.
    pub message: String,
}

impl Node {
    /// The status of the condition Ready; `Unknown` if there is none.
    pub fn ready(&self) -> &str {
        let ready = self.conditions.iter().find(|condition| condition.kind == "Ready");
        ready.map_or("Unknown", |condition| &condition.status)
    }
}

impl From<Object> for Node {
    fn from(object: Object) -> Self {
        let spec = object.spec.unwrap_or_default();
        let status = object.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default().into_iter().map(|condition| Condition {
            kind: condition.type_,
            status: condition.status,
            reason: condition.reason.unwrap_or_default(),
            message: condition.message.unwrap_or_default(),
        });
        let taints = spec.taints.unwrap_or_default().into_iter();
        Self {
            name: object.metadata.name.unwrap_or_default(),
            uid: object.metadata.uid.unwrap_or_default(),
            boot_id: status.node_info.map(|info| info.boot_id).unwrap_or_default(),
            unschedulable: spec.unschedulable.unwrap_or_default(),
            taints: taints.map(|taint| Taint { key: taint.key, effect: taint.effect }).collect(),
            conditions: conditions.collect(),
        }
    }
}
