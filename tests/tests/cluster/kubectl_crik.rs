//! `kubectl crik` from outside of the cluster, with what it does in it.

use anyhow::{Context as _, Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{Space, Workload};
use crik_tests::kubectl_plugin::{kubectl_crik, said};
use serde_json::{Value, json};

use crate::{node_of, turn, whole_lines};

const COMMAND: [&str; 2] = ["python3", "/programs/single.py"];

/// What the plugin prints in the test's namespace.
fn crik(space: &Space, words: &[&str]) -> Result<String> {
    let kubeconfig = space.cluster().plane().kubeconfig();
    let text = said(&kubeconfig, &[words, &["-n", space.name()]].concat())?;
    eprintln!("$ kubectl crik {}\n{text}", words.join(" "));
    Ok(text)
}

/// What the plugin complains of.
fn refused(space: &Space, words: &[&str]) -> Result<String> {
    let kubeconfig = space.cluster().plane().kubeconfig();
    let output = kubectl_crik(&kubeconfig, &[words, &["-n", space.name()]].concat())?;
    ensure!(!output.status.success(), "{words:?} succeeds");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Asks about a pod that runs, and has a checkpoint taken of it.
fn asks(space: &Space, node: &str) -> Result<()> {
    let listed = crik(space, &["list"])?;
    ensure!(listed.lines().any(|line| line.starts_with("job-0") && line.contains(node)), "{listed}");
    let taken = crik(space, &["checkpoint", "job-0", "--leave-running"])?;
    ensure!(taken.starts_with("generation 1 is durable") && taken.contains("stood still for"), "{taken}");
    let inspected: Value = serde_json::from_str(&crik(space, &["inspect", "job-0", "1", "-o", "json"])?)?;
    ensure!(inspected["manifest"]["generation"] == 1, "{inspected}");
    let kubeconfig = space.cluster().plane().kubeconfig();
    let examined = kubectl_crik(&kubeconfig, &["doctor", "job-0", "-n", space.name()])?;
    let text = String::from_utf8_lossy(&examined.stdout);
    ensure!(text.starts_with("protected: "), "{text}{}", String::from_utf8_lossy(&examined.stderr));
    // Crik's own: with 3 something should be known.
    ensure!(matches!(examined.status.code(), Some(0 | 3)), "{}", examined.status);
    refused(space, &["inspect", "job-0", "9"])?;
    let shown = crik(space, &["status"])?;
    ensure!(shown.lines().any(|line| line.starts_with(node) && line.contains("job-0")), "{shown}");
    Ok(())
}

/// Somebody who may not delete the pod is told so before its program is stopped; who stops it and who deletes it may be two.
fn is_moved_by_two(space: &Space) -> Result<()> {
    let pod = space.running("job-0", None)?;
    space.kubectl(&["create", "role", "eve", "--verb=get,list,create", "--resource=pods,pods/exec"])?;
    space.kubectl(&["create", "rolebinding", "eve", "--role=eve", "--user=eve"])?;
    let why = refused(space, &["move", "job-0", "--as", "eve"])?;
    for expected in [
        "whether another node can take it is not known: ",
        "nothing is changed",
        "resources: [pods], verbs: [delete]",
    ] {
        ensure!(why.contains(expected), "{expected:?} is not in {why}");
    }
    ensure!(!why.contains("is durable"), "{why}");
    space.kubectl(&["exec", "job-0", "--", "crik", "checkpoint", "--stay-stopped"])?;
    space.kubectl(&["delete", "pod", "job-0", "--wait=false"])?;
    space.running("job-0", Some(&pod)).map(drop)
}

#[test]
fn a_program_is_moved_suspended_and_resumed_from_outside_and_loses_nothing() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("plugin")?;
    space.apply(&Workload::new("job", &COMMAND).stateful_set(1))?;
    let node = node_of(&space.running("job-0", None)?)?;
    let first = space.follow("job-0")?;
    first.output.wait_for_lines(40)?;
    asks(&space, &node)?;
    let other = turn.cluster.nodes().iter().map(|one| one.name()).find(|name| *name != node);
    let other = other.context("there is one node")?;
    turn.cluster.kubectl(&["cordon", &other])?;
    let why = refused(&space, &["move", "job-0"])?;
    ensure!(why.contains(&format!("no other node can take job-0: {other} cordoned")), "{why}");
    turn.cluster.kubectl(&["uncordon", &other])?;
    // So that it is this one that takes it.
    turn.cluster.kubectl(&["cordon", &node])?;
    let moved = crik(&space, &["move", "job-0"])?;
    turn.cluster.kubectl(&["uncordon", &node])?;
    ensure!(
        moved.starts_with(&format!("job-0 has moved from {node} to {other}, and goes on from generation 2")),
        "{moved}"
    );
    let second = space.follow("job-0")?;
    second.output.wait_for_lines(40)?;
    is_moved_by_two(&space)?;
    let third = space.follow("job-0")?;
    third.output.wait_for_lines(40)?;
    crik(&space, &["suspend", "statefulset/job"])?;
    let set = space.get("statefulset", "job")?;
    ensure!(set["spec"]["replicas"] == 0 && space.pods("app=job")?.is_empty(), "it is not suspended: {set}");
    ensure!(set["metadata"]["annotations"]["crik.dev/replicas"] == "1", "{set}");
    crik(&space, &["suspend", "statefulset/job"])?;
    crik(&space, &["resume", "statefulset/job"])?;
    let last = space.follow("job-0")?;
    last.output.wait_for_lines(40)?;
    chain::verify(&[first.whole()?, second.whole()?, third.whole()?, whole_lines(&last.output.text())])?;
    space.held()
}

#[test]
fn a_deployment_goes_on_where_its_directory_has_no_pods_name_and_is_left_alone_where_it_has() -> Result<()> {
    let turn = turn()?;
    let space = turn.space("plugin-deployment")?;
    space.apply(&Workload::new("named", &COMMAND).deployment(1))?;
    let staying = Workload::new("job", &COMMAND).instead("/checkpoints/${POD_NAME}", "/checkpoints/job");
    space.apply(&staying.deployment(1))?;
    let pod = |app: &str| -> Result<Value> {
        let name = crik_tests::wait::wait_for("the pod", || space.pods(&format!("app={app}")).ok()?.pop())?;
        space.running(name["metadata"]["name"].as_str().context("no name")?, None)
    };
    let (named, job) = (pod("named")?, pod("job")?);
    let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    space.follow(&name(&named))?.output.wait_for_lines(5)?;
    let first = space.follow(&name(&job))?;
    first.output.wait_for_lines(40)?;
    for words in [["move", &*name(&named)], ["suspend", "deployment/named"]] {
        let why = refused(&space, &words)?;
        ensure!(
            why.contains("has another name, and would begin anew: imageDir is /checkpoints/named-"),
            "{why}"
        );
    }
    let now = space.get("deployment", "named")?;
    ensure!(
        now["spec"]["replicas"] == 1
            && space.get("pod", &name(&named))?["metadata"]["deletionTimestamp"] == json!(null),
        "{now}"
    );
    crik(&space, &["suspend", "deploy/job"])?;
    crik(&space, &["resume", "deploy/job"])?;
    let second = space.follow(&name(&pod("job")?))?;
    second.output.wait_for_lines(40)?;
    chain::verify(&[first.whole()?, whole_lines(&second.output.text())])?;
    space.held()
}
