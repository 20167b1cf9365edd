//! What is installed, upgraded and removed, and what helm says to it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crik_tests::build::workspace;
use crik_tests::chart::template::{chart, helm, of_kind, rendered, values};
use crik_tests::control_plane::ControlPlane;
use crik_tests::tools::tool;
use serde::Deserialize as _;
use serde_json::Value;

use crate::{ALL, PLANE, apply};

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
    ensure!(there()?.lines().count() == 9, "{}", there()?);
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

/// All names that a release's objects have, but for those of its pods, and what they call each other.
fn names(objects: &[Value]) -> Result<BTreeSet<String>> {
    let named = objects.iter().filter(|object| object["kind"] != "ResourceQuota");
    let names = named.filter_map(|object| object["metadata"]["name"].as_str()).map(str::to_owned);
    let test = of_kind(objects, "Pod")?["spec"]["containers"][0]["args"].to_string();
    Ok(names.chain([test]).collect())
}

#[test]
fn all_objects_have_the_name_that_a_value_gives_and_find_each_other_by_it() -> Result<()> {
    for (values, name) in [
        ("{}", "crik-controller"),
        (r#"{"nameOverride": "nodes"}"#, "crik-nodes"),
        (r#"{"fullnameOverride": "nodes"}"#, "nodes"),
        (r#"{"nameOverride": "lost", "fullnameOverride": "nodes"}"#, "nodes"),
    ] {
        let objects = rendered(values)?;
        let names = names(&objects)?;
        ensure!(names.iter().all(|one| one.contains(name)), "{values}: {names:?}");
        ensure!(
            !values.contains("Override") || names.iter().all(|one| !one.contains("controller.")),
            "{names:?}"
        );
        let account = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"]["serviceAccountName"];
        ensure!(*account == of_kind(&objects, "ServiceAccount")?["metadata"]["name"], "{values}");
        let (role, binding) = (of_kind(&objects, "ClusterRole")?, of_kind(&objects, "ClusterRoleBinding")?);
        ensure!(binding["roleRef"]["name"] == role["metadata"]["name"], "{values}");
        ensure!(binding["subjects"][0]["name"] == *account, "{values}");
    }
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
    for values in [
        r#"{"auth": {"enabled": true}}"#,
        r#"{"inject": {"enabled": true, "agentImage": "crik-agent:0.1.0"}}"#,
    ] {
        let said = apply(&plane, "clear", values)?;
        ensure!(said.contains(warning), "{said}");
    }
    let said = apply(&plane, "clear", r#"{"auth": {"enabled": true}, "tls": {"secretName": "t"}}"#)?;
    ensure!(!said.contains(warning), "{said}");
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
