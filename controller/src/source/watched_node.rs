//! A Node object for kube's watcher: read from JSON in the shape that the signals need, so that most of it is never
//! allocated.

use std::borrow::Cow;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use crate::signals::{Node, Object};

/// A Node, and as much of its metadata as the watcher reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Object")]
pub struct WatchedNode {
    meta: ObjectMeta,
    /// The Node.
    pub node: Node,
}

impl From<Object> for WatchedNode {
    fn from(mut object: Object) -> Self {
        let resource_version = object.metadata.resource_version.take();
        let name = object.metadata.name.clone();
        Self { meta: ObjectMeta { name, resource_version, ..ObjectMeta::default() }, node: object.into() }
    }
}

impl Resource for WatchedNode {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        "Node".into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        "".into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
