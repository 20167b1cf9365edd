//! A Pod object for kube's watcher: read from JSON in the shape that is kept, so that most of it is never allocated.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crik_api::report::RESTORED;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::annotations::{Annotations, read, read_deadline};
use super::workload::{Phase, Workload};

/// The label of pods that are put under crik.
const LABEL: &str = "crik.dev/inject";

/// A Pod, and as much of its metadata as whoever reads it needs: that is not kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Object")]
pub struct WatchedPod {
    meta: ObjectMeta,
    /// Whether it is ready, as a PodDisruptionBudget counts it.
    pub is_ready: bool,
    /// What is kept of it.
    pub workload: Workload,
}

impl WatchedPod {
    /// Whether it has the label that puts pods under crik: a watch tells of no others.
    pub fn is_labelled(&self) -> bool {
        let said = self.meta.labels.as_ref().and_then(|labels| labels.get(LABEL));
        said.is_some_and(|value| value == "true")
    }
}

#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    namespace: String,
    uid: Box<str>,
    resource_version: Box<str>,
    deletion_timestamp: Option<IgnoredAny>,
    labels: BTreeMap<String, String>,
    annotations: Annotations,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Box<str>,
    readiness_gates: Vec<Gate>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gate {
    condition_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: Phase,
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl From<Object> for WatchedPod {
    fn from(Object { metadata, spec, status }: Object) -> Self {
        let moving = read(metadata.annotations.moving.as_ref());
        let labels = if moving.is_some() { metadata.labels.clone() } else { BTreeMap::new() };
        let is = |kind: &str| {
            let found = status.conditions.iter().find(|one| one.kind == kind);
            found.map(|one| one.status == "True")
        };
        let meta = ObjectMeta {
            name: Some(metadata.name.clone()),
            namespace: Some(metadata.namespace.clone()),
            resource_version: Some(metadata.resource_version.to_string()),
            labels: Some(metadata.labels),
            ..ObjectMeta::default()
        };
        let said = &metadata.annotations;
        let workload = Workload {
            pod: format!("{}/{}", metadata.namespace, metadata.name).into(),
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            node: spec.node_name,
            phase: status.phase,
            is_ending: metadata.deletion_timestamp.is_some(),
            has_gate: spec.readiness_gates.iter().any(|gate| gate.condition_type == RESTORED),
            is_restored: is(RESTORED),
            eviction_deadline: read_deadline(said.eviction_deadline.as_ref()),
            last_checkpoint: read(said.last_checkpoint.as_ref()),
            last_failure: read(said.last_failure.as_ref()),
            last_start: read(said.last_start.as_ref()),
            protection: read(said.protection.as_ref()),
            moving,
            last_report: read(said.last_report.as_ref()),
            labels,
        };
        Self { meta, is_ready: is("Ready") == Some(true), workload }
    }
}

impl Resource for WatchedPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        "".into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
