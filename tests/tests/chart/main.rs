//! The chart, by the real helm into a real API server: what it installs works, is allowed, and is no more than it needs.

mod admission;
mod images;
mod inject;
mod install;
mod monitoring;
mod network;
mod nodes;
mod pods;
mod rights;
mod upgrade;
mod values;

use anyhow::Result;
use crik_tests::chart::template::{chart, of_kind, values};
use crik_tests::control_plane::ControlPlane;
use crik_tests::shared::Shared;
use serde_json::Value;

static PLANE: Shared<ControlPlane> = Shared::new();

/// Every option that adds something, but for the ServiceMonitor, whose kind an API server does not know by itself.
const ALL: &str = r#"{
    "auth": {"enabled": true, "allowAllNodesFor": ["system:serviceaccount:monitoring:dashboard"]},
    "tls": {"secretName": "crik-tls"},
    "networkPolicy": {"from": [{"namespaceSelector": {}}], "apiServer": [{"cidr": "10.0.0.1/32", "port": 6443}]},
    "signals": [{"name": "rack", "state": "shutting-down", "taint": {"key": "example.com/off"}}],
    "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "debug": true, "maxWaitingPolls": 1000000,
    "maxConnectionsPerPeer": 1000000,
    "nodeSelector": {"pool": "system"}, "tolerations": [{"operator": "Exists"}], "imagePullSecrets": [{"name": "registry"}],
    "commonLabels": {"team": "a"}, "deploymentAnnotations": {"e": "f"}, "extraArgs": ["--token-ttl=5m"],
    "extraEnv": [{"name": "TZ", "value": "UTC"}], "extraVolumes": [{"name": "x", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}], "serviceAccount": {"annotations": {"g": "h"}, "labels": {"k": "l"}},
    "service": {"labels": {"o": "p"}, "annotations": {"i": "j"}, "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"]},
    "strategy": {"rollingUpdate": {"maxSurge": "50%"}}, "minReadySeconds": 5, "revisionHistoryLimit": 2,
    "terminationGracePeriodSeconds": 40, "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    "livenessProbe": {"periodSeconds": 20}, "startupProbe": {"failureThreshold": 60},
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}, "podDisruptionBudget": {"maxUnavailable": "50%"},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["api.example"]}], "global": {"imagePullSecrets": ["all"]},
    "inject": {"enabled": true, "agentImage": "a:1", "volumeClaim": "work", "defaults": {"nodeStateServerCAFile": "/etc/crik-ca/ca.crt", "reserve": "2s"}},
    "grafanaDashboard": {"enabled": true, "labels": {"q": "r"}},
    "image": {"registry": "registry.example:5000"}, "enableServiceLinks": true,
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]}},
    "extraObjects": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "of-{{ .Release.Name }}"}}]
}"#;

/// Installs, or upgrades to, a release of its own name and namespace.
fn apply(plane: &ControlPlane, namespace: &str, json: &str) -> Result<String> {
    apply_chart(plane, &chart(), namespace, json)
}

/// The same of that chart.
fn apply_chart(plane: &ControlPlane, chart: &str, namespace: &str, json: &str) -> Result<String> {
    let values = values(json)?;
    let path = values.path().display().to_string();
    plane.helm(&[
        "upgrade",
        "--install",
        "crik",
        chart,
        "--namespace",
        namespace,
        "--create-namespace",
        "--reset-values",
        "--values",
        &path,
    ])
}

fn pod_spec(objects: &[Value]) -> Result<&Value> {
    Ok(&of_kind(objects, "Deployment")?["spec"]["template"]["spec"])
}
