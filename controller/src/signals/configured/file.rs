//! What a signals file has, as it is written.

#[cfg(test)]
mod schema;

use serde::Deserialize;
use serde_yaml::Value;

/// More signals.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct File {
    /// One row each.
    #[cfg_attr(test, schemars(with = "Vec<Row>"))]
    pub signals: Vec<Value>,
}

/// A signal: a name, a state, and one thing that stands on the Node.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = schema::one_thing))]
pub struct Row {
    /// Appears in reasons and as a label of metrics.
    #[cfg_attr(test, schemars(regex(pattern = schema::NAME)))]
    pub name: String,
    /// What it means.
    pub state: State,
    /// A taint.
    pub taint: Option<Taint>,
    /// A label.
    pub label: Option<Entry>,
    /// An annotation.
    pub annotation: Option<Entry>,
    /// A condition of its status.
    pub condition: Option<Condition>,
    /// That it is being deleted.
    pub deleting: Option<Deleting>,
    /// That no new pods are scheduled to it.
    #[cfg_attr(test, schemars(transform = schema::only_true))]
    pub unschedulable: Option<bool>,
}

/// What a signal means.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum State {
    ShuttingDown,
    Draining,
    Cordoned,
    Evicting,
    Hint,
    Trace,
    Unreachable,
    Silent,
}

/// Without a key it is any taint but those of Kubernetes itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = schema::key_or_eviction))]
pub struct Taint {
    #[cfg_attr(test, schemars(regex(pattern = schema::KEY), length(max = 317)))]
    pub key: Option<String>,
    pub value: Option<Operators>,
    pub effect: Option<Effect>,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

/// That the Node is being deleted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Deleting {
    /// Of whoever has still to end its machine.
    #[cfg_attr(test, schemars(regex(pattern = schema::KEY), length(max = 317)))]
    pub finalizer: String,
}

/// A label or an annotation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    #[cfg_attr(test, schemars(regex(pattern = schema::KEY), length(max = 317)))]
    pub key: String,
    pub value: Option<Operators>,
}

/// A condition of a type, a status, and perhaps a reason and a message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Condition {
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(regex(pattern = schema::KEY), length(max = 317)))]
    pub kind: String,
    #[serde(default)]
    pub status: Status,
    pub reason: Option<Operators>,
    pub message: Option<Operators>,
}

/// A condition's status.
#[derive(Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
pub enum Status {
    #[default]
    True,
    False,
    Unknown,
}

/// Each that is given has to hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(extend("minProperties" = 1)))]
pub struct Operators {
    pub equals: Option<String>,
    pub not_equals: Option<String>,
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub r#in: Option<Vec<String>>,
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub not_in: Option<Vec<String>>,
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub starts_with: Option<String>,
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub not_starts_with: Option<String>,
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub contains: Option<String>,
    #[cfg_attr(test, schemars(length(min = 1), inner(length(min = 1))))]
    pub contains_any: Option<Vec<String>>,
    #[cfg_attr(test, schemars(length(min = 1), inner(length(min = 1))))]
    pub contains_none: Option<Vec<String>>,
    /// The key of an annotation; one that is absent differs from everything.
    #[cfg_attr(test, schemars(regex(pattern = schema::KEY), length(max = 317)))]
    pub differs_from: Option<String>,
}
