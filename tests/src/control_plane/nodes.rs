//! Nodes in a control plane, changed as those change them who do so in a real cluster.

use anyhow::Result;
use serde_json::{Value, json};

use super::ControlPlane;
use super::api::PatchKind;
use crate::controller::TestNode;

impl ControlPlane {
    /// Creates a node with its status, as a kubelet that registers itself does. The API server chooses the UID.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn create_node(&self, node: &TestNode) -> Result<Value> {
        self.api().create("/api/v1/nodes", node.object())
    }

    /// Changes a node's status as kubelet and node controller do: by a strategic merge patch of the subresource, which
    /// merges conditions by type.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn patch_status(&self, name: &str, status: &Value) -> Result<Value> {
        let path = format!("/api/v1/nodes/{name}/status");
        self.api().patch(&path, PatchKind::Strategic, &json!({"status": status}))
    }

    /// Sets a condition.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn set_condition(&self, name: &str, condition: &Value) -> Result<Value> {
        self.patch_status(name, &json!({"conditions": [condition]}))
    }

    /// What the kubelet says when its machine shuts down.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn shut_down(&self, name: &str) -> Result<Value> {
        self.ready(name, "False", "KubeletNotReady", "node is shutting down")
    }

    /// What the node controller says when the kubelet is silent.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn silence(&self, name: &str) -> Result<Value> {
        self.ready(name, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    }

    /// What the kubelet says when all is well.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn be_well(&self, name: &str) -> Result<Value> {
        self.ready(name, "True", "KubeletReady", "kubelet is posting ready status")
    }

    fn ready(&self, name: &str, status: &str, reason: &str, message: &str) -> Result<Value> {
        let condition = json!({"type": "Ready", "status": status, "reason": reason, "message": message});
        self.set_condition(name, &condition)
    }

    /// Sets what the controller's role allows on nodes.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn set_controllers_verbs(&self, verbs: &Value) -> Result<()> {
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/crik-crik-controller";
        let pods = rule("pods", &json!(["get"]));
        let rules = if verbs.as_array().is_some_and(Vec::is_empty) {
            json!([pods])
        } else {
            json!([rule("nodes", verbs), pods])
        };
        self.api().patch(path, PatchKind::Merge, &json!({"rules": rules})).map(drop)
    }

    /// Takes the controller's right to read pods.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn forbid_pods(&self) -> Result<()> {
        let rules = json!([rule("nodes", &json!(["list", "watch"]))]);
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/crik-crik-controller";
        self.api().patch(path, PatchKind::Merge, &json!({"rules": rules})).map(drop)
    }

    /// Takes the controller's right to write Events.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn forbid_events(&self) -> Result<()> {
        let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/crik-crik-controller";
        self.api().patch(path, PatchKind::Merge, &json!({"rules": []})).map(drop)
    }
}

fn rule(resources: &str, verbs: &Value) -> Value {
    json!({"apiGroups": [""], "resources": [resources], "verbs": verbs})
}
