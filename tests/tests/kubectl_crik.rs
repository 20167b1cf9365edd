//! `kubectl crik` against a real API server, where nothing runs: what it shows of the objects, and what it refuses.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crik_tests::control_plane::ControlPlane;
use crik_tests::controller::TestNode;
use crik_tests::kubectl_plugin::{kubectl_crik, said};
use crik_tests::shared::Shared;
use serde_json::{Value, json};

/// One for all tests, each of which has a namespace of its own.
static PLANE: Shared<ControlPlane> = Shared::new();

/// A namespace of the control plane's.
struct Namespace {
    plane: Arc<ControlPlane>,
    name: &'static str,
}

impl Namespace {
    fn new(name: &'static str) -> Result<Self> {
        let plane = PLANE.get(start)?;
        plane.kubectl(&["create", "namespace", name])?;
        plane.kubectl(&["create", "serviceaccount", "default", "--namespace", name])?;
        Ok(Self { plane, name })
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.plane.kubectl(&[&["--namespace", self.name], words].concat())
    }

    fn kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig()
    }

    fn crik(&self, words: &[&str]) -> Result<String> {
        said(&self.kubeconfig(), &[words, &["--namespace", self.name]].concat())
    }

    /// What it complains of.
    fn refused(&self, words: &[&str]) -> Result<String> {
        let output = kubectl_crik(&self.kubeconfig(), &[words, &["--namespace", self.name]].concat())?;
        ensure!(output.status.code() == Some(1), "{words:?} ends with {}", output.status);
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A pod on a node that runs, as its kubelet would say, with these annotations, which are JSON.
    fn pod(&self, name: &str, annotations: &[(&str, Value)], change: impl FnOnce(&mut Value)) -> Result<()> {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), json!(value.to_string()))).collect();
        let container = json!({"name": "app", "image": "app", "command": ["crik", "run", "--", "app"]});
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.name, "annotations": annotations},
            "spec": {"nodeName": "node-a", "containers": [container]},
        });
        change(&mut pod);
        self.plane.api().create_all(&[pod])?;
        let runs = r#"{"status":{"phase":"Running"}}"#;
        self.kubectl(&["patch", "pod", name, "--subresource=status", "--type=merge", "--patch", runs])
            .map(drop)
    }

    fn object(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", kind, name, "--output=json"])?)?)
    }
}

fn start() -> Result<ControlPlane> {
    let plane = ControlPlane::start()?;
    ["node-a", "node-b"].iter().try_for_each(|name| create_node(&plane, name))?;
    Ok(plane)
}

/// A node that is well. The API server puts a taint on each new one, which the node controller would take away.
fn create_node(plane: &ControlPlane, name: &str) -> Result<()> {
    plane.create_node(&TestNode::ready(name))?;
    let no_taints = r#"{"spec":{"taints":null}}"#;
    plane.kubectl(&["patch", "node", name, "--type=merge", "--patch", no_taints]).map(drop)
}

fn protected() -> (&'static str, Value) {
    (crik_api::report::PROTECTION, json!({"protected": true}))
}

fn not_protected(why: &str) -> (&'static str, Value) {
    (crik_api::report::PROTECTION, json!({"protected": false, "why": why}))
}

fn checkpoint(generation: u64) -> (&'static str, Value) {
    let checkpoint = json!({
        "at": "2020-01-01T00:00:00Z", "generation": generation, "occasion": "interval", "frozenSeconds": 0.1,
        "durableSeconds": 1.0, "bytes": 12_300_000, "storedBytes": 1, "newBytes": 1,
    });
    (crik_api::report::LAST_CHECKPOINT, checkpoint)
}

/// A StatefulSet that owns the pod; nobody acts on it here.
fn stateful_set(space: &Namespace, replicas: u64) -> Result<Value> {
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "job"},
        "spec": {
            "serviceName": "job", "replicas": replicas, "selector": {"matchLabels": {"app": "job"}},
            "template": {
                "metadata": {"labels": {"app": "job"}},
                "spec": {"containers": [{"name": "app", "image": "app"}]},
            },
        },
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), set.to_string())?;
    space.kubectl(&["apply", "--filename", &file.path().to_string_lossy()])?;
    space.object("statefulset", "job")
}

fn owned(pod: &mut Value, set: &Value) {
    pod["metadata"]["labels"] = json!({"app": "job"});
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "job", "uid": set["metadata"]["uid"], "controller": true,
    }]);
}

#[test]
fn the_pods_under_crik_are_listed_with_what_their_agents_have_told() -> Result<()> {
    let space = Namespace::new("listed")?;
    space
        .pod("job-0", &[protected(), checkpoint(7)], |pod| pod["metadata"]["labels"] = json!({"of": "a"}))?;
    space.pod("job-1", &[not_protected("the capability SYS_PTRACE is missing")], |_| ())?;
    space.pod("other", &[], |pod| pod["spec"]["containers"][0]["command"] = json!(["app"]))?;
    let text = space.crik(&["list"])?;
    let row = text.lines().find(|line| line.starts_with("job-0")).context(text.clone())?;
    let words: Vec<&str> = row.split_whitespace().take(5).collect();
    ensure!(words == ["job-0", "Running", "node-a", "yes", "7"] && row.contains("12.3 MB"), "{text}");
    ensure!(text.contains("listed/job-1 is NOT PROTECTED: the capability SYS_PTRACE is missing"), "{text}");
    ensure!(!text.contains("other") && !text.contains("NAMESPACE"), "{text}");
    let chosen: Value = serde_json::from_str(&space.crik(&["list", "-l", "of=a", "-o", "json"])?)?;
    ensure!(chosen.as_array().is_some_and(|all| all.len() == 1), "{chosen}");
    ensure!(chosen[0]["lastCheckpoint"]["generation"] == 7 && chosen[0]["protected"] == true, "{chosen}");
    let everywhere = space.crik(&["list", "-A"])?;
    ensure!(everywhere.contains("NAMESPACE") && everywhere.contains("listed"), "{everywhere}");
    Ok(())
}

#[test]
fn what_is_at_risk_on_a_node_that_is_cordoned_is_shown() -> Result<()> {
    let space = Namespace::new("at-risk")?;
    create_node(&space.plane, "node-c")?;
    space.plane.kubectl(&["cordon", "node-c"])?;
    space.pod("job-0", &[protected(), checkpoint(1)], |pod| pod["spec"]["nodeName"] = json!("node-c"))?;
    let text = space.crik(&["status"])?;
    let row = text.lines().find(|line| line.contains("job-0")).context(text.clone())?;
    ensure!(row.starts_with("node-c  cordoned") && row.ends_with("old; the node is cordoned"), "{text}");
    ensure!(text.contains("2 more nodes are well"), "{text}");
    Ok(())
}

#[test]
fn whoever_lacks_a_right_is_told_which() -> Result<()> {
    let space = Namespace::new("rights")?;
    let why = space.refused(&["list", "--as", "eve"])?;
    ensure!(why.contains("User \"eve\" cannot list resource \"pods\""), "{why}");
    let rule = "a Role in the namespace rights with {apiGroups: [''], resources: [pods], verbs: [list]}";
    ensure!(why.contains(rule), "{why}");
    // The same program by its own name.
    let crik = crik_tests::build::cargo_bin("crik-agent", "crik", &[])?;
    let output = std::process::Command::new(crik)
        .args(["kubectl", "list", "--as", "eve", "-n", "rights"])
        .env("KUBECTL", crik_tests::tools::tool("kubectl")?)
        .env("KUBECONFIG", space.kubeconfig())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains(rule), "{said}");
    Ok(())
}

#[test]
fn a_right_that_is_lacking_is_told_before_anything_is_done() -> Result<()> {
    let space = Namespace::new("rights-before")?;
    let set = stateful_set(&space, 1)?;
    space.pod("job-0", &[protected()], |pod| owned(pod, &set))?;
    let resources = "--resource=pods,statefulsets.apps";
    space.kubectl(&["create", "role", "eve", "--verb=get,list", resources])?;
    space.kubectl(&["create", "rolebinding", "eve", "--role=eve", "--user=eve"])?;
    let why = space.refused(&["suspend", "sts/job", "--as", "eve"])?;
    ensure!(
        why.contains("nothing is changed") && why.contains("you may not patch statefulsets.apps/job"),
        "{why}"
    );
    ensure!(why.contains("{apiGroups: ['apps'], resources: [statefulsets], verbs: [patch]}"), "{why}");
    // That of asking the crik in the pod is told in the same way.
    let why = space.refused(&["move", "job-0", "--as", "eve"])?;
    ensure!(why.contains("resources: [pods/exec], verbs: ["), "{why}");
    Ok(())
}

#[test]
fn a_pod_that_would_not_go_on_elsewhere_is_left_alone() -> Result<()> {
    let space = Namespace::new("left-alone")?;
    let set = stateful_set(&space, 1)?;
    space.pod("alone", &[protected()], |_| ())?;
    space.pod("job-0", &[not_protected("the capability SYS_PTRACE is missing")], |pod| owned(pod, &set))?;
    space.pod("job-1", &[protected()], |pod| {
        owned(pod, &set);
        pod["spec"]["nodeSelector"] = json!({"disk": "fast"});
    })?;
    for (pod, expected) in [
        ("alone", "alone has no owner that makes another pod when it is gone"),
        ("job-0", "job-0 is not protected: the capability SYS_PTRACE is missing"),
        ("job-1", "no other node can take job-1: node-b is not what the pod asks for"),
        ("gone", "pods \"gone\" not found"),
    ] {
        let why = space.refused(&["move", pod])?;
        ensure!(why.contains(expected), "{pod}: {why}");
        let now = space.object("pod", pod).unwrap_or_default();
        ensure!(now["metadata"]["deletionTimestamp"].is_null(), "{pod} is deleted");
    }
    Ok(())
}

#[test]
fn a_workload_of_which_one_pod_is_not_protected_is_not_scaled() -> Result<()> {
    let space = Namespace::new("not-scaled")?;
    let set = stateful_set(&space, 2)?;
    space.pod("job-0", &[protected()], |pod| owned(pod, &set))?;
    space.pod("job-1", &[not_protected("its volume is away")], |pod| owned(pod, &set))?;
    let why = space.refused(&["suspend", "statefulset/job"])?;
    ensure!(
        why.contains("nothing is changed") && why.contains("job-1 is not protected: its volume is away"),
        "{why}"
    );
    let why = space.refused(&["resume", "sts/job"])?;
    ensure!(why.contains("statefulset/job is not suspended"), "{why}");
    let now = space.object("statefulset", "job")?;
    ensure!(
        now["spec"]["replicas"] == 2 && now["metadata"]["annotations"]["crik.dev/replicas"].is_null(),
        "{now}"
    );
    Ok(())
}
