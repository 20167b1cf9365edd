//! The chart, by the real helm into a real API server: what it installs works, is allowed, and is no more than it needs.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::chart::template::{chart, helm, of_kind, rendered, template, values};
use crik_tests::chart::values_schema;
use crik_tests::cluster::images::dockerfile::{Step, parse};
use crik_tests::control_plane::{Account, ControlPlane, TokenRequest};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::shared::Shared;
use crik_tests::tools::tool;
use crik_tests::wait::wait_for;
use serde::Deserialize;
use serde_json::{Value, json};

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
    "service": {"annotations": {"i": "j"}, "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4"]},
    "strategy": {"rollingUpdate": {"maxSurge": "50%"}}, "minReadySeconds": 5, "revisionHistoryLimit": 2,
    "terminationGracePeriodSeconds": 40, "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    "livenessProbe": {"periodSeconds": 20}, "startupProbe": {"failureThreshold": 60},
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}, "podDisruptionBudget": {"maxUnavailable": "50%"},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["api.example"]}], "global": {"imagePullSecrets": ["all"]},
    "image": {"registry": "registry.example:5000"}, "enableServiceLinks": true,
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]}},
    "extraObjects": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "of-{{ .Release.Name }}"}}]
}"#;

#[test]
fn the_plain_manifest_is_what_the_chart_installs() -> Result<()> {
    let output = Command::new(workspace().join("deploy/manifests.sh")).env("HELM", tool("helm")?).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kept = fs::read(workspace().join("deploy/controller.yaml"))?;
    ensure!(
        output.stdout == kept,
        "deploy/controller.yaml is not in step with the chart; run make manifests"
    );
    Ok(())
}

#[test]
fn helm_finds_no_fault() -> Result<()> {
    for json in ["{}", ALL] {
        let values = values(json)?;
        let path = values.path().display().to_string();
        let said = helm(&["lint", "--strict", "--kube-version", "1.36.0", &chart(), "--values", &path])?;
        ensure!(said.is_ok(), "{said:?}");
    }
    Ok(())
}

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

#[test]
fn the_memory_that_the_polls_need_is_the_limit() -> Result<()> {
    for (values, expected) in [
        ("{}", "732Mi"),
        (r#"{"maxWaitingPolls": 100000}"#, "2842Mi"),
        (r#"{"tls": {"secretName": "t"}}"#, "1093Mi"),
        (r#"{"auth": {"enabled": true}}"#, "771Mi"),
        (r#"{"resources": {"limits": {"memory": "1Gi"}}}"#, "1Gi"),
    ] {
        let objects = rendered(values)?;
        let container = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0];
        ensure!(container["resources"]["limits"]["memory"] == expected, "{values}: {container:#}");
    }
    Ok(())
}

/// All that is said anywhere of whom a pod runs as.
fn identities(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            if ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"]
                .contains(&key.as_str())
            {
                found.push(format!("{key}: {value}"));
            }
            identities(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| identities(item, found)),
        _ => {}
    }
}

/// OpenShift's restricted-v2 gives each namespace users of its own, and refuses a pod that names another one.
#[test]
fn nobody_says_whom_the_pods_run_as_unless_a_value_does() -> Result<()> {
    for (values, expected) in [("{}", 0), (ALL, 0), (r#"{"podSecurityContext": {"runAsUser": 1}}"#, 2)] {
        let mut found = Vec::new();
        rendered(values)?.iter().for_each(|object| identities(object, &mut found));
        ensure!(found.len() == expected, "{values}: {found:?}");
    }
    // So the image has to, and by a number, or `runAsNonRoot` cannot be kept.
    let image = fs::read_to_string(workspace().join("deploy/Dockerfile.controller"))?;
    ensure!(image.lines().any(|line| line == "USER 65532:65532"), "{image}");
    Ok(())
}

/// An image of files alone says nothing of the packages that they are from.
#[test]
fn the_bill_of_materials_has_all_that_goes_into_the_images() -> Result<()> {
    for file in ["deploy/Dockerfile.agent", "deploy/Dockerfile.controller"] {
        let stages = parse(&fs::read_to_string(workspace().join(file))?)?;
        let sources = stages.iter().filter(|stage| stage.base != "scratch");
        let unseen: Vec<_> = sources.filter(|stage| !stage.steps.contains(&Step::Scanned)).collect();
        ensure!(unseen.is_empty() && stages.len() == 3, "{file}: {unseen:?}");
    }
    Ok(())
}

#[test]
fn a_namespaces_admin_can_install_what_belongs_to_it() -> Result<()> {
    let objects =
        rendered(r#"{"rbac": {"create": false}, "serviceAccount": {"create": false, "name": "theirs"}}"#)?;
    let foreign: Vec<&Value> =
        objects.iter().filter(|object| object["metadata"]["namespace"] != "crik").collect();
    ensure!(foreign.is_empty(), "{foreign:#?}");
    ensure!(!objects.iter().any(|object| object["kind"] == "ServiceAccount"));
    let spec = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"];
    ensure!(spec["serviceAccountName"] == "theirs", "{spec:#}");
    Ok(())
}

#[test]
fn spot_nodes_are_avoided_unless_a_value_says_otherwise() -> Result<()> {
    let affinity = |values: &str| -> Result<String> {
        Ok(of_kind(&rendered(values)?, "Deployment")?["spec"]["template"]["spec"]["affinity"].to_string())
    };
    for label in [
        "gke-spot",
        "eks.amazonaws.com/capacityType",
        "karpenter.sh/capacity-type",
        "scalesetpriority",
        "interruptible-instance",
    ] {
        ensure!(affinity("{}")?.contains(label), "{label}");
    }
    ensure!(affinity(r#"{"avoidSpotNodes": false}"#)?.matches("nodeAffinity").count() == 0);
    ensure!(affinity(ALL)?.matches("spot").count() == 0, "{}", affinity(ALL)?);
    Ok(())
}

#[test]
fn alerts_are_of_metrics_that_there_are() -> Result<()> {
    let objects = rendered(r#"{"prometheusRule": {"enabled": true}, "serviceMonitor": {"enabled": true}}"#)?;
    let controller = Controller::start(&[TestNode::ready("a")])?;
    let metrics = crik_tests::http::get(&controller.url("/metrics"))?.body;
    let rules = &of_kind(&objects, "PrometheusRule")?["spec"]["groups"][0]["rules"];
    for rule in rules.as_array().context("no rules")? {
        let expression = rule["expr"].as_str().context("no expression")?;
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let names: Vec<&str> = words.filter(|word| word.starts_with("crik_")).collect();
        ensure!(!names.is_empty(), "{expression}");
        for name in names {
            ensure!(
                metrics
                    .lines()
                    .any(|line| line.starts_with(&format!("{name}{{"))
                        || line.starts_with(&format!("{name} "))),
                "{name}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_test_of_the_release_asks_each_replica() -> Result<()> {
    for (values, scheme) in [("{}", "http"), (ALL, "https")] {
        let objects = rendered(values)?;
        let args = &of_kind(&objects, "Pod")?["spec"]["containers"][0]["args"];
        ensure!(
            args[0] == "check" && args.to_string().contains(&format!("{scheme}://crik-controller.crik:9376")),
            "{args}"
        );
    }
    Ok(())
}

#[test]
fn the_controller_understands_every_flag_and_signal_that_it_is_given() -> Result<()> {
    let objects = rendered(ALL)?;
    let signals = of_kind(&objects, "ConfigMap")?["data"]["signals.yaml"].as_str().context("no signals")?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), signals)?;
    let container = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<&str> =
        container["args"].as_array().context("no args")?.iter().filter_map(Value::as_str).collect();
    let path = file.path().display().to_string();
    // What needs a cluster is tried with one below; here are those that do not.
    let flags: Vec<String> = args
        .iter()
        .filter(|arg| !arg.starts_with("--auth") && !arg.starts_with("--tls"))
        .map(|arg| arg.replace("/etc/crik/signals/signals.yaml", &path).replace("=json", "=human"))
        .collect();
    ensure!(flags.len() == args.len() - 3, "{args:?}");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let nodes = [TestNode::ready("a").tainted("example.com/off", "NoSchedule")];
    let controller = Controller::start_flagged(&nodes, &flags)?;
    let status = controller.status("a")?;
    ensure!(status.state == crik_api::NodeState::ShuttingDown, "{status:?}");
    Ok(())
}

/// Installs, or upgrades to, a release of its own name and namespace.
fn apply(plane: &ControlPlane, namespace: &str, json: &str) -> Result<String> {
    let values = values(json)?;
    let path = values.path().display().to_string();
    plane.helm(&[
        "upgrade",
        "--install",
        "crik",
        &chart(),
        "--namespace",
        namespace,
        "--create-namespace",
        "--reset-values",
        "--values",
        &path,
    ])
}

#[test]
fn it_installs_upgrades_and_leaves_nothing_behind() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let said = apply(&plane, "life", "{}")?;
    ensure!(said.contains("nodeStateServerURL: http://crik-controller.life:9376"), "{said}");
    let said = apply(&plane, "life", ALL)?;
    for part in [
        "https://crik-controller.life:9376",
        "nodeStateServerTokenFile: ",
        "nodeStateServerCAFile: ",
        "audience: crik",
    ] {
        ensure!(said.contains(part), "{part} is not in\n{said}");
    }
    let kinds = "deployments,services,serviceaccounts,poddisruptionbudgets,networkpolicies,configmaps";
    let selector = "app.kubernetes.io/managed-by=Helm";
    let there =
        || plane.kubectl(&["get", kinds, "--namespace", "life", "--selector", selector, "--output", "name"]);
    ensure!(there()?.lines().count() == 6, "{}", there()?);
    ensure!(apply(&plane, "life", "{}")?.contains("http://"), "the way back");
    ensure!(!there()?.contains("configmap"), "{}", there()?);
    drop(plane.helm(&["uninstall", "crik", "--namespace", "life"])?);
    ensure!(there()?.is_empty(), "{}", there()?);
    let roles = plane.kubectl(&[
        "get",
        "clusterroles,clusterrolebindings,roles,rolebindings",
        "--namespace",
        "default",
        "--output",
        "name",
    ])?;
    ensure!(!roles.contains("life-crik"), "{roles}");
    Ok(())
}

#[test]
fn its_pods_meet_the_restricted_standard() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    for (namespace, json) in [("strict", "{}"), ("strict-all", ALL)] {
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        plane
            .api()
            .create_all(&[json!({"kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})])?;
        drop(apply(&plane, namespace, json)?);
        let objects = rendered(json)?;
        let template = &of_kind(&objects, "Deployment")?["spec"]["template"];
        let test = of_kind(&objects, "Pod")?;
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        for (name, metadata, spec) in [
            ("replica", &template["metadata"], &template["spec"]),
            ("test", &test["metadata"], &test["spec"]),
        ] {
            let metadata = json!({"name": name, "labels": metadata["labels"]});
            let mut spec = spec.clone();
            if name == "test" {
                // There is nobody here who makes the namespace's own.
                spec["serviceAccountName"] = json!("crik-controller");
            }
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
            drop(plane.api().create(&path, &pod).with_context(|| format!("{namespace} {name}"))?);
        }
        // And the standard is enforced here.
        let lax = json!({"kind": "Pod", "metadata": {"name": "lax"}, "spec": {
            "serviceAccountName": "crik-controller", "containers": [{"name": "a", "image": "a"}]}});
        let refused = plane.api().create(&path, &lax).err().context("the standard is not enforced")?;
        ensure!(format!("{refused:#}").contains("violates PodSecurity"), "{refused:#}");
    }
    Ok(())
}

/// What OpenShift's SCC restricted-v2 refuses, where its range for a namespace begins at 1000660000: of its MustRunAsRange, of
/// capabilities, of the seccomp profile and of volumes (openshift/apiserver-library-go, pkg/securitycontextconstraints).
const RESTRICTED_V2: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: restricted-v2}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
  variables:
  - {name: pod, expression: "has(object.spec.securityContext) ? [object.spec.securityContext] : []"}
  - {name: all, expression: "object.spec.containers + object.spec.?initContainers.orValue([])"}
  - {name: contexts, expression: "variables.all.filter(c, has(c.securityContext)).map(c, c.securityContext)"}
  validations:
  - expression: "variables.pod.all(c, !has(c.runAsUser) || c.runAsUser >= 1000660000 && c.runAsUser < 1000670000)"
    message: "runAsUser: must be in the ranges: [1000660000, 1000669999]"
  - expression: "variables.contexts.all(c, !has(c.runAsUser) || c.runAsUser >= 1000660000 && c.runAsUser < 1000670000)"
    message: "containers runAsUser: must be in the ranges: [1000660000, 1000669999]"
  - expression: "variables.pod.all(c, !has(c.fsGroup) || c.fsGroup >= 1000660000 && c.fsGroup < 1000670000)"
    message: "fsGroup: must be in the ranges: [1000660000, 1000669999]"
  - expression: "variables.all.all(c, has(c.securityContext) && has(c.securityContext.capabilities) && c.securityContext.capabilities.?drop.orValue([]).exists(d, d == 'ALL') && c.securityContext.capabilities.?add.orValue([]).all(a, a == 'NET_BIND_SERVICE'))"
    message: "capabilities: all must be dropped"
  - expression: "variables.contexts.all(c, !c.?allowPrivilegeEscalation.orValue(true) && !c.?privileged.orValue(false))"
    message: "allowPrivilegeEscalation: must be false"
  - expression: "!object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false) && !object.spec.?hostIPC.orValue(false)"
    message: "host: not allowed"
  - expression: "object.spec.?volumes.orValue([]).all(v, has(v.configMap) || has(v.csi) || has(v.downwardAPI) || has(v.emptyDir) || has(v.ephemeral) || has(v.persistentVolumeClaim) || has(v.projected) || has(v.secret))"
    message: "volumes: of another kind"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: restricted-v2}
spec:
  policyName: restricted-v2
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {scc: restricted-v2}}}
"#;

#[test]
fn its_pods_are_what_openshift_lets_in_where_each_namespace_has_users_of_its_own() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let policy = values(RESTRICTED_V2)?;
    drop(plane.kubectl(&["apply", "--filename", &policy.path().display().to_string()])?);
    let namespace =
        json!({"kind": "Namespace", "metadata": {"name": "openshift", "labels": {"scc": "restricted-v2"}}});
    plane.api().create_all(&[namespace])?;
    let path = "/api/v1/namespaces/openshift/pods?dryRun=All";
    let create = |json: &str, kind: &str| -> Result<String> {
        let objects = rendered(json)?;
        let object = of_kind(&objects, kind)?;
        let pod = if kind == "Pod" { object } else { &object["spec"]["template"] };
        let mut spec = pod["spec"].clone();
        spec["serviceAccountName"] = json!("crik-controller");
        let pod = json!({"kind": "Pod", "metadata": {"name": "pod"}, "spec": spec});
        Ok(plane.api().create(path, &pod).err().map(|why| format!("{why:#}")).unwrap_or_default())
    };
    drop(apply(&plane, "openshift", "{}")?);
    let named = r#"{"podSecurityContext": {"runAsUser": 65532}}"#;
    // The API server learns of a policy a moment after it was made.
    wait_for("the policy to be enforced", || {
        create(named, "Deployment").ok()?.contains("must be in the ranges").then_some(())
    })?;
    for json in ["{}", ALL] {
        for kind in ["Deployment", "Pod"] {
            let refused = create(json, kind)?;
            ensure!(refused.is_empty(), "{kind} {json}: {refused}");
        }
    }
    Ok(())
}

/// What the controller's ServiceAccount may do in `default`, beyond what everybody may.
fn rights(plane: &ControlPlane, namespace: &str) -> Result<Vec<String>> {
    let account = format!("system:serviceaccount:{namespace}:crik-controller");
    let list = plane.kubectl(&["auth", "can-i", "--list", "--namespace", "default", "--as", &account])?;
    let everybodys = |line: &str| line.starts_with("selfsubject") || line.trim_start().starts_with('[');
    let rows = list.lines().skip(1).filter(|line| !everybodys(line));
    let mut rows: Vec<String> =
        rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    rows.sort();
    Ok(rows)
}

#[test]
fn it_may_do_what_it_needs_and_nothing_else() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let (nodes, events) = ("nodes [] [] [list watch]", "events [] [] [create patch]");
    let (pods, reviews) = ("pods [] [] [get]", "tokenreviews.authentication.k8s.io [] [] [create]");
    for (namespace, json, expected) in [
        ("rights", "{}", vec![events, nodes, pods]),
        ("rights-few", r#"{"events": {"enabled": false}, "pods": {"enabled": false}}"#, vec![nodes]),
        ("rights-all", r#"{"auth": {"enabled": true}}"#, vec![events, nodes, pods, reviews]),
    ] {
        drop(apply(&plane, namespace, json)?);
        let rights = rights(&plane, namespace)?;
        ensure!(rights == expected, "{namespace}: {rights:#?}");
    }
    Ok(())
}

#[test]
fn what_it_may_do_is_enough_for_the_controller() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    drop(apply(&plane, "enough", r#"{"auth": {"enabled": true}}"#)?);
    drop(plane.create_node(&TestNode::ready("enough-a"))?);
    let account = Account { namespace: "enough", name: "crik-controller" };
    let controller = Controller::watching(&plane.kubeconfig_of(account)?, &["--auth", "token"])?;
    // A token that is of no pod; without the right to ask about it there would be 503.
    let token = plane.token(account, TokenRequest { audience: "crik", ..TokenRequest::default() })?;
    let answer = crik_tests::http::get_as(&token, &controller.url("/v1/nodes/enough-a"))?;
    ensure!(answer.status == 403, "{} {}", answer.status, answer.body);
    let open = Controller::watching(&plane.kubeconfig_of(account)?, &[])?;
    let answer = crik_tests::http::get(&open.url("/v1/pods/enough/none"))?;
    ensure!(answer.status == 404 && answer.body.contains("there is no pod"), "{}", answer.body);
    drop(plane.shut_down("enough-a")?);
    let written = || {
        plane.kubectl(&[
            "get",
            "events",
            "--namespace",
            "default",
            "--output",
            "jsonpath={.items[*].involvedObject.name}",
        ])
    };
    wait_for("an Event on the Node", || {
        written().is_ok_and(|names| names.contains("enough-a")).then_some(())
    })
    .with_context(|| controller.log())?;
    ensure!(!controller.log().contains("forbidden"), "{}", controller.log());
    Ok(())
}

#[test]
fn the_plain_manifest_is_accepted() -> Result<()> {
    // Its own: the namespace is the one that everybody uses.
    let plane: Arc<ControlPlane> = Arc::new(ControlPlane::start()?);
    let path = workspace().join("deploy/controller.yaml").display().to_string();
    let said = plane.kubectl(&["apply", "--filename", &path])?;
    ensure!(said.lines().count() == 11 && said.lines().all(|line| line.ends_with("created")), "{said}");
    // Again, which changes nothing: what is asked of the Deployment is still its first version.
    drop(plane.kubectl(&["apply", "--filename", &path])?);
    let deployment = plane.api().get("/apis/apps/v1/namespaces/crik/deployments/crik-controller")?;
    ensure!(deployment["metadata"]["generation"] == 1, "{deployment:#}");
    Ok(())
}

#[test]
fn a_service_monitor_is_made_when_it_is_wanted() -> Result<()> {
    let objects = rendered(
        r#"{"serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}}, "tls": {"secretName": "t"}}"#,
    )?;
    let monitor = of_kind(&objects, "ServiceMonitor")?;
    ensure!(monitor["metadata"]["labels"]["release"] == "prometheus");
    ensure!(monitor["spec"]["endpoints"][0]["scheme"] == "https");
    let service = of_kind(&objects, "Service")?;
    ensure!(service["spec"]["clusterIP"] == "None", "agents must see every replica's address");
    ensure!(monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]);
    ensure!(!rendered("{}")?.iter().any(|object| object["kind"] == "ServiceMonitor"));
    Ok(())
}

/// Who may ask, one entry each.
fn sources(objects: &[Value]) -> Result<Vec<String>> {
    let ingress = of_kind(objects, "NetworkPolicy")?["spec"]["ingress"].as_array().context("no ingress")?;
    ensure!(ingress.iter().all(|entry| entry["ports"] == json!([{"protocol": "TCP", "port": "api"}])));
    Ok(ingress.iter().map(|entry| entry["from"].to_string()).collect())
}

#[test]
fn where_only_some_may_ask_the_test_and_prometheus_still_may() -> Result<()> {
    ensure!(sources(&rendered(r#"{"networkPolicy": {"from": []}}"#)?)? == ["null"], "everybody may ask");
    let every_pod = sources(&rendered("{}")?)?;
    ensure!(every_pod[0] == r#"[{"namespaceSelector":{}}]"#, "{every_pod:?}");
    let objects = rendered(ALL)?;
    let few = sources(&objects)?;
    let test = &of_kind(&objects, "Pod")?["metadata"]["labels"];
    ensure!(few.len() == 2 && few[0] == r#"[{"namespaceSelector":{}}]"#, "{few:?}");
    let from: Value = serde_json::from_str(&few[1])?;
    let asked = from[0]["podSelector"]["matchLabels"].as_object().context("no labels")?;
    ensure!(asked.len() == 2 && asked.iter().all(|(key, value)| test[key] == *value), "{few:?}");
    let monitored =
        r#"{"networkPolicy": {"from": [{"podSelector": {}}]}, "serviceMonitor": {"enabled": true}}"#;
    let monitored = sources(&rendered(monitored)?)?;
    ensure!(monitored.len() == 3 && monitored[2].contains("prometheus"), "{monitored:?}");
    Ok(())
}

#[test]
fn arguments_are_text_whatever_is_in_them() -> Result<()> {
    let objects =
        rendered(r##"{"auth": {"enabled": true, "audience": "a\"b:#c"}, "maxWaitingPolls": 1000000}"##)?;
    let args = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0]["args"];
    let expected = json!([
        "--log-format=json",
        "--shutdown-delay=20s",
        "--max-waiting-polls=1000000",
        "--auth=token",
        "--audience=a\"b:#c"
    ]);
    ensure!(*args == expected, "{args}");
    Ok(())
}

#[test]
fn the_longest_name_of_a_release_still_makes_a_service() -> Result<()> {
    let release = "r".repeat(53);
    let text =
        helm(&["template", &release, &chart(), "--kube-version", "1.36.0"])?.map_err(anyhow::Error::msg)?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    let objects: Vec<Value> = documents.collect::<Result<_, _>>()?;
    let name = of_kind(&objects, "Service")?["metadata"]["name"].as_str().context("no name")?;
    ensure!(name.len() == 63 && name.starts_with(&format!("{release}-cont")), "{name}");
    Ok(())
}

#[test]
fn tokens_without_tls_are_warned_of() -> Result<()> {
    let plane = PLANE.get(ControlPlane::start)?;
    let warning = "WARNING: tokens are asked for, but without TLS";
    let said = apply(&plane, "clear", r#"{"auth": {"enabled": true}}"#)?;
    ensure!(said.contains(warning), "{said}");
    let said = apply(&plane, "clear", r#"{"auth": {"enabled": true}, "tls": {"secretName": "t"}}"#)?;
    ensure!(!said.contains(warning), "{said}");
    Ok(())
}

fn pod_spec(objects: &[Value]) -> Result<&Value> {
    Ok(&of_kind(objects, "Deployment")?["spec"]["template"]["spec"])
}

#[test]
fn what_other_charts_take_is_taken_and_comes_to_its_place() -> Result<()> {
    let objects = rendered(
        r#"{"image": {"registry": "registry.example:5000", "tag": "1"}, "podDisruptionBudget": {"minAvailable": 1},
            "global": {"imagePullSecrets": ["all", {"name": "own"}]}, "imagePullSecrets": [{"name": "own"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["api"]}], "serviceAccount": {"labels": {"a": "b"}},
            "serviceMonitor": {"enabled": true, "scrapeTimeout": "9s", "annotations": {"c": "d"},
                               "relabelings": [{"action": "x"}], "metricRelabelings": [{"action": "z"}]}}"#,
    )?;
    let (pod, budget) = (pod_spec(&objects)?, &of_kind(&objects, "PodDisruptionBudget")?["spec"]);
    ensure!(pod["containers"][0]["image"] == "registry.example:5000/crik-controller:1", "{pod:#}");
    ensure!(pod["imagePullSecrets"] == json!([{"name": "all"}, {"name": "own"}]), "{pod:#}");
    ensure!(of_kind(&objects, "Pod")?["spec"]["imagePullSecrets"] == pod["imagePullSecrets"]);
    ensure!(pod["hostAliases"][0]["hostnames"] == json!(["api"]) && pod["enableServiceLinks"] == false);
    ensure!(budget["minAvailable"] == 1 && budget.get("maxUnavailable").is_none(), "{budget:#}");
    ensure!(of_kind(&objects, "ServiceAccount")?["metadata"]["labels"]["a"] == "b");
    let monitor = of_kind(&objects, "ServiceMonitor")?;
    let endpoint = &monitor["spec"]["endpoints"][0];
    ensure!(
        monitor["metadata"]["annotations"]["c"] == "d" && endpoint["scrapeTimeout"] == "9s",
        "{monitor:#}"
    );
    ensure!(endpoint["relabelings"][0]["action"] == "x" && endpoint["metricRelabelings"][0]["action"] == "z");
    Ok(())
}

#[test]
fn replicas_are_spread_and_a_new_version_takes_no_answer_away() -> Result<()> {
    let objects = rendered("{}")?;
    let (spec, pod) = (&of_kind(&objects, "Deployment")?["spec"], pod_spec(&objects)?);
    let spread = &pod["topologySpreadConstraints"][0];
    ensure!(spread["topologyKey"] == "topology.kubernetes.io/zone" && spread["maxSkew"] == 1, "{spread:#}");
    ensure!(spread["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"], "{spread:#}");
    ensure!(spec["minReadySeconds"] == 15, "{spec:#}");
    ensure!(spec["strategy"]["rollingUpdate"] == json!({"maxSurge": 1, "maxUnavailable": 0}), "{spec:#}");
    let recreated = rendered(r#"{"strategy": {"type": "Recreate"}}"#)?;
    ensure!(of_kind(&recreated, "Deployment")?["spec"]["strategy"] == json!({"type": "Recreate"}));
    Ok(())
}

#[test]
fn with_its_address_the_api_server_is_all_that_is_reached() -> Result<()> {
    let policy =
        |values: &str| -> Result<Value> { Ok(of_kind(&rendered(values)?, "NetworkPolicy")?["spec"].clone()) };
    ensure!(policy("{}")?["policyTypes"] == json!(["Ingress"]));
    let few = policy(r#"{"networkPolicy": {"apiServer": [{"cidr": "10.0.0.1/32", "port": 6443}]}}"#)?;
    ensure!(few["policyTypes"] == json!(["Ingress", "Egress"]), "{few:#}");
    let expected = json!([{"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
                           "ports": [{"protocol": "TCP", "port": 6443}]}]);
    ensure!(few["egress"] == expected, "{few:#}");
    Ok(())
}
