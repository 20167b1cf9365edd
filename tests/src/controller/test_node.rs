//! Node objects for the controller's nodes file.

use anyhow::Result;
use serde_json::{Value, json};

/// A Node object as it is in a cluster, in the parts that matter.
#[derive(Clone)]
pub struct TestNode(Value);

impl TestNode {
    /// A node that is up and well.
    pub fn ready(name: &str) -> Self {
        Self(json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "uid": format!("uid-of-{name}")},
            "spec": {},
            "status": {
                "nodeInfo": {
                    "bootID": "first", "architecture": "", "containerRuntimeVersion": "", "kernelVersion": "",
                    "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "operatingSystem": "",
                    "osImage": "", "systemUUID": "",
                },
                "conditions": [
                    {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
                    {"type": "Ready", "status": "True", "reason": "KubeletReady",
                     "message": "kubelet is posting ready status"},
                ],
            },
        }))
    }

    /// The object.
    pub fn object(&self) -> &Value {
        &self.0
    }

    /// True if this is its name.
    pub fn is(&self, name: &str) -> bool {
        self.0["metadata"]["name"] == name
    }

    /// With the condition that the kubelet sets when its machine shuts down.
    #[must_use]
    pub fn shutting_down(self) -> Self {
        self.condition("False", "KubeletNotReady", "node is shutting down")
    }

    /// With the condition that the node controller sets when the kubelet is silent.
    #[must_use]
    pub fn silent(self) -> Self {
        self.condition("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    }

    fn condition(mut self, status: &str, reason: &str, message: &str) -> Self {
        self.0["status"]["conditions"][1] =
            json!({"type": "Ready", "status": status, "reason": reason, "message": message});
        self
    }

    /// As `kubectl cordon` leaves it.
    #[must_use]
    pub fn cordoned(mut self) -> Self {
        self.0["spec"]["unschedulable"] = json!(true);
        self
    }

    /// With a taint.
    #[must_use]
    pub fn tainted(mut self, key: &str, effect: &str) -> Self {
        self.0["spec"]["taints"] = json!([{"key": key, "effect": effect}]);
        self
    }

    /// As another object of the same name.
    #[must_use]
    pub fn recreated(mut self) -> Self {
        self.0["metadata"]["uid"] = json!("another");
        self
    }
}

/// A nodes file that has these.
///
/// # Errors
/// They cannot be written as YAML.
pub fn yaml(nodes: &[TestNode]) -> Result<String> {
    let items: Vec<&Value> = nodes.iter().map(|node| &node.0).collect();
    Ok(serde_yaml::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": items}))?)
}
