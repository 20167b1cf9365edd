//! The harness's own control plane: what the suites on it rely on.

use anyhow::{Result, ensure};
use crik_tests::control_plane::{Account, ControlPlane, PatchKind, TokenRequest};
use serde_json::json;

#[test]
fn a_node_is_kept_over_a_restart_of_the_api_server() -> Result<()> {
    let mut plane = ControlPlane::start()?;
    plane.api().create("/api/v1/nodes", &json!({"kind": "Node", "metadata": {"name": "a"}}))?;
    plane.kubectl(&["cordon", "a"])?;
    plane.kill_server();
    ensure!(plane.api().get("/api/v1/nodes/a").is_err(), "a server that was killed answers");
    plane.restart_server()?;
    let node = plane.api().get("/api/v1/nodes/a")?;
    ensure!(node["spec"]["unschedulable"] == true, "{node}");
    Ok(())
}

#[test]
fn two_control_planes_know_nothing_of_each_other() -> Result<()> {
    let (one, other) = (ControlPlane::start()?, ControlPlane::start()?);
    one.api().create("/api/v1/nodes", &json!({"kind": "Node", "metadata": {"name": "a"}}))?;
    ensure!(other.kubectl(&["get", "nodes", "--output=name"])?.is_empty());
    ensure!(one.kubectl(&["get", "nodes", "--output=name"])? == "node/a\n");
    Ok(())
}

#[test]
fn rbac_is_on_and_tokens_name_their_holder() -> Result<()> {
    let plane = ControlPlane::start()?;
    let account = plane.create_controllers_identity()?;
    let token = plane.token(account, TokenRequest { audience: "crik", ..TokenRequest::default() })?;
    let review = |audience: &str| {
        let spec = json!({"token": token, "audiences": [audience]});
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec});
        plane.api().create("/apis/authentication.k8s.io/v1/tokenreviews", &asked)
    };
    let status = review("crik")?["status"].clone();
    ensure!(status["user"]["username"] == "system:serviceaccount:crik:crik-controller", "{status}");
    ensure!(review("another")?["status"]["authenticated"] != true);
    let config = plane.kubeconfig_of(account)?.display().to_string();
    plane.kubectl(&["--kubeconfig", &config, "get", "nodes"])?;
    let refused = plane.kubectl(&["--kubeconfig", &config, "get", "secrets"]).unwrap_err();
    ensure!(refused.to_string().contains("cannot list resource \"secrets\""), "{refused:#}");
    Ok(())
}

#[test]
fn a_token_that_is_bound_to_a_pod_names_its_node() -> Result<()> {
    let plane = ControlPlane::start()?;
    let account = Account { namespace: "default", name: "app" };
    let container = json!({"name": "app", "image": "app"});
    plane.api().create_all(&[
        json!({"kind": "Node", "metadata": {"name": "a"}}),
        json!({"kind": "ServiceAccount", "metadata": {"name": "app"}}),
        json!({"kind": "Pod", "metadata": {"name": "app-0"},
               "spec": {"serviceAccountName": "app", "nodeName": "a", "containers": [container]}}),
    ])?;
    let token = plane.token(account, TokenRequest { audience: "crik", pod: "app-0", seconds: 0 })?;
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                       "spec": {"token": token, "audiences": ["crik"]}});
    let review = plane.api().create("/apis/authentication.k8s.io/v1/tokenreviews", &asked)?;
    let node = &review["status"]["user"]["extra"]["authentication.kubernetes.io/node-name"];
    ensure!(*node == json!(["a"]), "{review}");
    Ok(())
}

#[test]
fn a_watch_from_before_a_compaction_is_told_so() -> Result<()> {
    let mut plane = ControlPlane::start()?;
    let node = plane.api().create("/api/v1/nodes", &json!({"kind": "Node", "metadata": {"name": "a"}}))?;
    let old = node["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let label = |value: &str| json!({"metadata": {"labels": {"round": value}}});
    plane.api().patch("/api/v1/nodes/a", PatchKind::Merge, &label("1"))?;
    // What the API server has in its cache it still knows after a compaction, but not over a restart.
    plane.etcd().compact()?;
    plane.restart_server()?;
    let watch = format!("/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion={old}");
    let said = plane.api().text(&watch)?;
    ensure!(said.contains("\"code\":410"), "{said}");
    Ok(())
}
