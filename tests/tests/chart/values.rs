//! Which values are refused, by which words, and which are taken.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::chart::template::{chart, helm, template};
use crik_tests::chart::values_schema;
use crik_tests::control_plane::ControlPlane;

use crate::PLANE;

#[test]
fn each_mistake_in_the_values_is_named() -> Result<()> {
    for (values, message) in [
        (r#"{"replica": 3}"#, "additional properties 'replica' not allowed"),
        (r#"{"replicas": "two"}"#, "at '/replicas': got string, want integer"),
        (r#"{"replicas": 0}"#, "at '/replicas': minimum"),
        (r#"{"image": {"repository": "crik controller"}}"#, "at '/image/repository'"),
        (r#"{"image": {"repository": "crik:1.0"}}"#, "at '/image/repository'"),
        (r#"{"image": {"tag": 1.0}}"#, "at '/image/tag': got number, want string"),
        (r#"{"image": {"digest": "sha256:abc"}}"#, "at '/image/digest'"),
        (r#"{"image": {"pullPolicy": "always"}}"#, "at '/image/pullPolicy': value must be one of"),
        (r#"{"auth": true}"#, "at '/auth': got boolean, want object"),
        (r#"{"auth": {"enable": true}}"#, "additional properties 'enable' not allowed"),
        (r#"{"auth": {"enabled": "yes"}}"#, "at '/auth/enabled': got string, want boolean"),
        (r#"{"auth": {"allowAllNodesFor": ["a,b"]}}"#, "at '/auth/allowAllNodesFor/0'"),
        (r#"{"tls": {"secretName": "My_Secret"}}"#, "'My_Secret' does not match pattern"),
        (r#"{"tls": {"certFile": "/tls.crt"}}"#, "additional properties 'certFile' not allowed"),
        (r#"{"events": false}"#, "at '/events': got boolean, want object"),
        (r#"{"resources": {"limits": {"memory": "64 MB"}}}"#, "at '/resources/limits/memory'"),
        (r#"{"logFormat": "text"}"#, "at '/logFormat': value must be one of"),
        (r#"{"networkPolicy": {"apiServer": [{"cidr": "10.0.0.1"}]}}"#, "at '/networkPolicy/apiServer/0'"),
        (r#"{"networkPolicy": {"apiServer": [{"cidr": "10.0.0.1/32", "port": 0}]}}"#, "minimum"),
        (r#"{"podLabels": {"app.kubernetes.io/name": "x"}}"#, "at '/podLabels'"),
        (r#"{"service": {"labels": {"app.kubernetes.io/name": "x"}}}"#, "at '/service/labels'"),
        (r#"{"serviceAccount": {"labels": {"app.kubernetes.io/name": "x"}}}"#, "at '/serviceAccount/labels'"),
        (
            r#"{"signals": [{"name": "a", "state": "drained", "taint": {"key": "k"}}]}"#,
            "at '/signals/0/state'",
        ),
        (r#"{"signals": [{"name": "a", "state": "draining"}]}"#, "at '/signals/0'"),
        (
            r#"{"signals": [{"name": "a", "state": "draining", "taint": {"key": "k"}, "label": {"key": "k"}}]}"#,
            "'oneOf' failed",
        ),
        (
            r#"{"signals": [{"name": "a", "state": "draining", "taint": {"key": "k", "value": {"is": "v"}}}]}"#,
            "additional properties 'is' not allowed",
        ),
        (r#"{"maxWaitingPolls": 0}"#, "at '/maxWaitingPolls': minimum"),
        (r#"{"maxWaitingPolls": 1000001}"#, "at '/maxWaitingPolls': maximum"),
        (r#"{"maxConnectionsPerPeer": 0}"#, "at '/maxConnectionsPerPeer': minimum"),
        (
            r#"{"signals": [{"name": "Rack power", "state": "hint", "taint": {"key": "k"}}]}"#,
            "'Rack power' does not",
        ),
        (
            r#"{"signals": [{"name": "rack-", "state": "hint", "taint": {"key": "k"}}]}"#,
            "'rack-' does not match",
        ),
        (r#"{"signals": [{"name": "a", "state": "hint", "taint": {"key": ""}}]}"#, "taint/key'"),
        (
            r#"{"signals": [{"name": "a", "state": "hint", "label": {"key": "k", "value": {"startsWith": ""}}}]}"#,
            "value/startsWith': minLength",
        ),
        (
            r#"{"signals": [{"name": "a", "state": "hint", "label": {"key": "k", "value": {"contains": ""}}}]}"#,
            "value/contains': minLength",
        ),
        (
            r#"{"signals": [{"name": "a", "state": "hint", "annotation": {"key": "k", "value": {"differsFrom": ""}}}]}"#,
            "value/differsFrom'",
        ),
        (
            r#"{"serviceMonitor": {"from": "prometheus"}}"#,
            "at '/serviceMonitor/from': got string, want array",
        ),
        (r#"{"serviceMonitor": {"interval": "soon"}}"#, "at '/serviceMonitor/interval'"),
        (r#"{"serviceMonitor": {"interval": ""}}"#, "at '/serviceMonitor/interval'"),
        // What Kubernetes would refuse, or leave out without a word.
        (r#"{"tolerations": [{"keyy": "a"}]}"#, "additional properties 'keyy' not allowed"),
        (r#"{"networkPolicy": {"from": [{"foo": 1}]}}"#, "additional properties 'foo' not allowed"),
        (r#"{"affinity": {"nodeAffinty": {}}}"#, "additional properties 'nodeAffinty' not allowed"),
        (r#"{"topologySpreadConstraints": [{"maxSkew": 1}]}"#, "at '/topologySpreadConstraints/0'"),
        (r#"{"securityContext": {"runAsUsr": 1}}"#, "additional properties 'runAsUsr' not allowed"),
        (r#"{"podSecurityContext": {"fsGroup": "a"}}"#, "at '/podSecurityContext/fsGroup'"),
        (r#"{"strategy": {"type": "RollingUpdate", "maxSurge": 1}}"#, "additional properties 'maxSurge'"),
        (r#"{"lifecycle": {"preStop": {"sleep": 5}}}"#, "at '/lifecycle/preStop/sleep'"),
        (r#"{"extraEnv": [{"nam": "a"}]}"#, "at '/extraEnv/0'"),
        (r#"{"extraArgs": ["debug"]}"#, "at '/extraArgs/0'"),
        (r#"{"extraObjects": [{"kind": "ConfigMap"}]}"#, "at '/extraObjects/0'"),
        (r#"{"livenessProbe": {"httpGet": {"path": "/"}}}"#, "additional properties 'httpGet' not allowed"),
        (r#"{"dnsConfig": {"ndots": 1}}"#, "additional properties 'ndots' not allowed"),
        (r#"{"nameOverride": "My Controller"}"#, "at '/nameOverride'"),
        (r#"{"commonLabels": {"a b": "c"}}"#, "invalid propertyName 'a b'"),
        (r#"{"networkPolicy": {"apiServer": [{"cidr": "10.0.0.1/99", "port": 443}]}}"#, "apiServer/0/cidr'"),
        (
            r#"{"networkPolicy": {"apiServer": [{"cidr": "10.0.0.256/32", "port": 443}]}}"#,
            "apiServer/0/cidr'",
        ),
        (r#"{"networkPolicy": {"apiServer": [{"cidr": "fd00::1/129", "port": 443}]}}"#, "apiServer/0/cidr'"),
        (
            r#"{"signals": [{"name": "a", "state": "hint", "taint": {"key": "bad key with spaces"}}]}"#,
            "at '/signals/0/taint/key'",
        ),
        // What is well formed, and cannot work all the same.
        (r#"{"maxWaitingPolls": 200000, "resources": {"limits": {"memory": "512Mi"}}}"#, "polls need 5478Mi"),
        (
            r#"{"tls": {"secretName": "t"}, "resources": {"limits": {"memory": "0.5Gi"}}}"#,
            "polls need 1093Mi",
        ),
        (
            r#"{"signals": [{"name": "cordon", "state": "hint", "unschedulable": true}]}"#,
            "cordon is the name of a signal that the controller has by itself",
        ),
        (
            r#"{"signals": [{"name": "a", "state": "hint", "unschedulable": true},
                            {"name": "a", "state": "hint", "taint": {"key": "k"}}]}"#,
            "signals: a is there twice",
        ),
        (r#"{"serviceMonitor": {"from": []}}"#, "at '/serviceMonitor/from': minItems"),
        (r#"{"serviceMonitor": {"scrapeTimeout": "soon"}}"#, "at '/serviceMonitor/scrapeTimeout'"),
        (r#"{"extraArgs": ["--auth=token"]}"#, "--auth=token is said by the value auth.enabled"),
        (r#"{"extraArgs": ["--debug"]}"#, "--debug is said by the value debug"),
        (r#"{"extraArgs": ["--max-waiting-polls=9"]}"#, "is said by the value maxWaitingPolls"),
        (
            r#"{"extraEnv": [{"name": "CRIK_MAX_WAITING_POLLS", "value": "9"}]}"#,
            "CRIK_MAX_WAITING_POLLS is said by the value maxWaitingPolls",
        ),
        (
            r#"{"terminationGracePeriodSeconds": 24}"#,
            "is 24, and shutdownDelaySeconds needs 5 more than its 20",
        ),
        (
            r#"{"lifecycle": {"preStop": {"sleep": {"seconds": 6}}}}"#,
            "5 more than its 20, after the 6 of lifecycle.preStop.sleep",
        ),
        (r#"{"lifecycle": {"preStop": {"exec": {"command": ["sleep"]}}}}"#, "at '/lifecycle/preStop'"),
        (r#"{"lifecycle": {"postStart": {"exec": {"command": ["id"]}}}}"#, "at '/lifecycle/postStart'"),
        (r#"{"lifecycle": {"stopSignal": "SIGINT"}}"#, "additional properties 'stopSignal' not allowed"),
        (r#"{"prometheusRule": {"enabled": true}}"#, "set serviceMonitor.enabled=true as well"),
        (r#"{"image": {"registry": "registry.example/team"}}"#, "at '/image/registry'"),
        (r#"{"podDisruptionBudget": {"minAvailable": 0}}"#, "minimum"),
        (r#"{"hostAliases": [{"hostnames": ["a"]}]}"#, "at '/hostAliases/0'"),
        (r#"{"hostNetwork": true}"#, "set networkPolicy.enabled=false"),
        (
            r#"{"inject": {"enabled": true, "agentImage": "a:1", "reports": false}}"#,
            "inject.moves needs inject.reports",
        ),
        (r#"{"commonLabels": {"app.kubernetes.io/name": "x"}}"#, "is the chart's own"),
    ] {
        let said = template(values)?.err().with_context(|| format!("{values} is accepted"))?;
        ensure!(said.contains(message), "{values}\n  said: {said}\n  not: {message}");
    }
    Ok(())
}

#[test]
fn what_kubernetes_itself_takes_is_taken() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let schema = fs::read_to_string(workspace().join("charts/crik/values.schema.json"))?;
    values_schema::check(&schema, plane.api())?;
    for values in [
        r#"{"resources": {"limits": {"cpu": "1e-1", "memory": "2G"}, "requests": {"cpu": 1, "memory": "1e8"}}}"#,
        r#"{"serviceMonitor": {"interval": "1d"}}"#,
        r#"{"networkPolicy": {"from": [], "apiServer": [{"cidr": "fd00::1/128", "port": 443}]}}"#,
        r#"{"hostNetwork": true, "networkPolicy": {"enabled": false}}"#,
        r#"{"podSecurityContext": {"runAsUser": 1000660000, "seccompProfile": null}}"#,
    ] {
        template(values)?.map_err(anyhow::Error::msg).context(values)?;
    }
    Ok(())
}

#[test]
fn tokens_are_refused_where_they_do_not_name_the_node() -> Result<()> {
    let on = |version: &str| {
        let set = ["--kube-version", version, "--set", "auth.enabled=true"];
        helm(&[&["template", "crik", &chart()][..], &set].concat())
    };
    let said = on("1.31.9")?.err().context("accepted on 1.31")?;
    ensure!(said.contains("auth.enabled needs Kubernetes 1.32") && said.contains("1.31.9"), "{said}");
    for version in ["1.32.0", "1.33.1-gke.100", "1.36.0+k3s1"] {
        on(version)?.map_err(anyhow::Error::msg).context(version)?;
    }
    Ok(())
}
