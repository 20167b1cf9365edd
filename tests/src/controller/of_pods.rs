//! A control plane that has pods, and a controller that tells who ends them.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::{Controller, TestNode};
use crate::control_plane::ControlPlane;

impl Controller {
    /// Starts a control plane with a node of this name and a ServiceAccount `app` for its pods, and one that watches it with the
    /// rights that its manifest gives; returns the kubeconfig of these too.
    ///
    /// # Errors
    /// One of them does not get ready.
    pub fn of_pods_on(node: &str) -> Result<(Self, PathBuf, ControlPlane)> {
        let plane = ControlPlane::start()?;
        plane.create_node(&TestNode::ready(node))?;
        plane.api().create_all(&[json!({"kind": "ServiceAccount", "metadata": {"name": "app"}})])?;
        let kubeconfig = plane.kubeconfig_of(plane.create_controllers_identity()?)?;
        let controller = Self::watching(&kubeconfig, &[])?;
        Ok((controller, kubeconfig, plane))
    }
}
