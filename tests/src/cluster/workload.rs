//! Workloads as users write them, with the lines that README.md asks for.

use serde_json::{Value, json};

/// A workload of one container under `crik`.
#[derive(Clone)]
pub struct Workload {
    name: String,
    config: String,
    pod: Value,
}

/// Where pods see the volume.
const MOUNT: &str = "/checkpoints";

impl Workload {
    /// One that runs `command` from the tests' image, with an image directory for each pod's name.
    pub fn new(name: &str, command: &[&str]) -> Self {
        let config = "imageDir: /checkpoints/${POD_NAME}\nnodeStateServerURL: http://crik-controller.crik:9376\n\
                      gracePeriod: 30s\n";
        Self { name: name.to_owned(), config: config.to_owned(), pod: pod(name, command) }
    }

    /// Adds lines to the configuration.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        self.config += yaml;
        self.config.push('\n');
        self
    }

    /// Replaces a part of the configuration.
    #[must_use]
    pub fn instead(mut self, old: &str, new: &str) -> Self {
        self.config = self.config.replace(old, new);
        self
    }

    /// Changes the pod's specification.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.pod);
        self
    }

    /// Changes the container.
    #[must_use]
    pub fn container(self, change: impl FnOnce(&mut Value)) -> Self {
        self.with(|pod| change(&mut pod["containers"][0]))
    }

    /// As a StatefulSet.
    pub fn stateful_set(&self, replicas: u32) -> String {
        self.manifest(
            "apps/v1",
            "StatefulSet",
            json!({
                "serviceName": self.name,
                "replicas": replicas,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": self.name}},
            }),
        )
    }

    /// As a Deployment whose old pod ends before the new one begins.
    pub fn deployment(&self, replicas: u32) -> String {
        self.manifest(
            "apps/v1",
            "Deployment",
            json!({
                "replicas": replicas,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": {"app": self.name}},
            }),
        )
    }

    fn manifest(&self, version: &str, kind: &str, mut spec: Value) -> String {
        spec["template"] = json!({"metadata": {"labels": {"app": self.name}}, "spec": self.pod});
        let object =
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": self.name}, "spec": spec});
        let config = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": format!("{}-crik", self.name)},
            "data": {"config.yaml": self.config},
        });
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": self.name},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        });
        json!({"apiVersion": "v1", "kind": "List", "items": [config, claim, object]}).to_string()
    }
}

fn pod(name: &str, command: &[&str]) -> Value {
    let field = |variable: &str, path: &str| json!({"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let command = [&["crik", "run", "--"], command].concat();
    json!({
        "terminationGracePeriodSeconds": 30,
        "containers": [{
            "name": "app",
            "image": "programs:1",
            "command": command,
            "env": [field("POD_NAME", "metadata.name"), field("KUBERNETES_NODE_NAME", "spec.nodeName")],
            "securityContext": {
                "capabilities": {"add": ["CHECKPOINT_RESTORE", "SYS_PTRACE"]},
                "seccompProfile": {"type": "Unconfined"},
            },
            "volumeMounts": [
                {"name": "checkpoints", "mountPath": MOUNT},
                {"name": "crik", "mountPath": "/etc/crik"},
            ],
        }],
        "volumes": [
            {"name": "checkpoints", "persistentVolumeClaim": {"claimName": name}},
            {"name": "crik", "configMap": {"name": format!("{name}-crik")}},
        ],
    })
}
