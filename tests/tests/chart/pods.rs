//! What stands in the pods, and which value it comes from.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use crik_tests::chart::template::{of_kind, rendered, template};
use crik_tests::controller::{Controller, TestNode};
use serde_json::{Value, json};

use crate::{ALL, pod_spec};

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
fn the_controller_understands_every_flag_and_signal_that_it_is_given() -> Result<()> {
    let objects = rendered(ALL)?;
    let is_it = |object: &&Value| object["data"]["signals.yaml"].is_string();
    let signals = objects.iter().find(is_it).and_then(|map| map["data"]["signals.yaml"].as_str());
    let signals = signals.context("no signals")?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), signals)?;
    let container = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0];
    let args: Vec<&str> =
        container["args"].as_array().context("no args")?.iter().filter_map(Value::as_str).collect();
    let path = file.path().display().to_string();
    // What needs a cluster is tried with one below, and by the suite `injection`; here are those that do not.
    let needs_one =
        ["--auth", "--tls", "--webhook", "--inject", "--workloads", "--reports", "--moves", "--eviction"];
    let flags: Vec<String> = args
        .iter()
        .filter(|arg| !needs_one.iter().any(|flag| arg.starts_with(flag)))
        .map(|arg| arg.replace("/etc/crik/signals/signals.yaml", &path).replace("=json", "=human"))
        .collect();
    ensure!(flags.len() == args.len() - 14, "{args:?}");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let nodes = [TestNode::ready("a").tainted("example.com/off", "NoSchedule")];
    let controller = Controller::start_flagged(&nodes, &flags)?;
    let status = controller.status("a")?;
    ensure!(status.state == crik_api::NodeState::ShuttingDown, "{status:?}");
    Ok(())
}

#[test]
fn what_other_charts_take_is_taken_and_comes_to_its_place() -> Result<()> {
    let objects = rendered(
        r#"{"image": {"registry": "registry.example:5000", "tag": "1"}, "podDisruptionBudget": {"minAvailable": 1},
            "global": {"imagePullSecrets": ["all", {"name": "own"}]}, "imagePullSecrets": [{"name": "own"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["api"]}], "serviceAccount": {"labels": {"a": "b"}},
            "service": {"labels": {"e": "f"}},
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
    let labels = &of_kind(&objects, "Service")?["metadata"]["labels"];
    ensure!(labels["e"] == "f" && labels["app.kubernetes.io/name"] == "crik-controller", "{labels:#}");
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
fn names_are_resolved_as_in_any_pod_unless_a_value_says_otherwise() -> Result<()> {
    for (values, policy) in [
        ("{}", Value::Null),
        (r#"{"dnsPolicy": "Default"}"#, json!("Default")),
        // In its node's network a pod would otherwise not know the cluster's names.
        (r#"{"hostNetwork": true, "networkPolicy": {"enabled": false}}"#, json!("ClusterFirstWithHostNet")),
        (
            r#"{"hostNetwork": true, "networkPolicy": {"enabled": false}, "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["10.0.0.10"]}}"#,
            json!("None"),
        ),
    ] {
        let objects = rendered(values)?;
        ensure!(pod_spec(&objects)?["dnsPolicy"] == policy, "{values}");
    }
    let said = template(r#"{"dnsPolicy": "Cluster"}"#)?.err().context("another word is taken")?;
    ensure!(said.contains("at '/dnsPolicy': value must be one of"), "{said}");
    Ok(())
}
