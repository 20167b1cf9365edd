//! A workload of an image that has never heard of crik goes on elsewhere, for one label.

use std::fs;
use std::os::unix::fs::chown;
use std::time::Instant;

use anyhow::{Result, ensure};
use crik_tests::chain;
use crik_tests::cluster::{Cluster, Space};
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use crate::{logs, preempt, shell, turn, whole_lines};

/// The release of the chart that asks for labelled pods, in a namespace of its own; removed when this is dropped.
pub struct Release<'a>(&'a Cluster);

impl<'a> Release<'a> {
    /// Installs it.
    pub fn new(cluster: &'a Cluster) -> Result<Self> {
        let release = Self(cluster);
        shell(
            cluster,
            "helm install labels charts/crik --namespace labels --create-namespace --wait \
             --set inject.enabled=true,inject.agentImage=crik-agent:0.1.0,inject.volumeClaim=work,replicas=2,minReadySeconds=0",
        )?;
        Ok(release)
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let remove = "helm uninstall labels --namespace labels; kubectl delete namespace labels --timeout=2m";
        if let Err(error) = shell(self.0, remove) {
            eprintln!("the release is left behind: {error:#}");
        }
    }
}

/// A StatefulSet as a user has it, with the label alone; and the claim of its volume.
fn workload(label: &Value, change: impl Fn(&mut Value)) -> [String; 2] {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "work"},
        "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}},
    });
    let mut pod = json!({
        "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "app", "image": "plain:1", "command": ["python3", "/programs/single.py"]}],
    });
    change(&mut pod);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "job"},
        "spec": {
            "serviceName": "job", "replicas": 1, "selector": {"matchLabels": {"app": "job"}},
            "template": {"metadata": {"labels": {"app": "job", "crik.dev/inject": label}}, "spec": pod},
        },
    });
    [claim.to_string(), set.to_string()]
}

/// A namespace of the test's whose labelled pods are put under crik.
pub fn chosen(space: &Space) -> Result<()> {
    space.cluster().kubectl(&["label", "namespace", space.name(), "crik.dev/injection=enabled"])?;
    let tried = format!(
        "kubectl run tried --namespace {} --image plain:1 --labels crik.dev/inject=true --dry-run=server --output json --command -- true",
        space.name()
    );
    wait_for("the API server to ask", || {
        shell(space.cluster(), &tried).ok().filter(|said| said.contains("crik-install")).map(drop)
    })
}

/// How long the program of a new pod takes to its first line.
fn begins(space: &Space, set: &str) -> Result<f64> {
    let began = Instant::now();
    space.apply(set)?;
    space.running("job-0", None)?;
    space.follow("job-0")?.output.wait_for_lines(1)?;
    Ok(began.elapsed().as_secs_f64())
}

/// Takes the pod's node away, and checks that nothing is lost. Returns what the first pod has said.
fn survives(space: &Space) -> Result<String> {
    let pod = space.running("job-0", None)?;
    let before = space.follow("job-0")?;
    before.output.wait_for_lines(40)?;
    preempt(space, &pod)?;
    let said = logs(space, "job-0", "restored generation 00000001")?;
    let after = space.follow("job-0")?;
    after.output.wait_for_lines(40)?;
    let before = before.whole()?;
    chain::verify(&[before.clone(), whole_lines(&after.output.text())])?;
    for said in [&before, &said] {
        ensure!(!said.contains("NOT PROTECTED") && !said.contains(" WARN "), "{said}");
    }
    Ok(before)
}

#[test]
fn an_image_that_has_never_heard_of_crik_goes_on_elsewhere_for_one_label() -> Result<()> {
    let turn = turn()?;
    let _release = Release::new(&turn.cluster)?;
    let space = turn.space("one-label")?;
    chosen(&space)?;
    let [claim, plain] = workload(&json!("false"), |_| ());
    space.apply(&claim)?;
    let without = begins(&space, &plain)?;
    space.kubectl(&["delete", "statefulset", "job", "--wait", "--cascade=foreground"])?;
    let scratch = |pod: &mut Value| {
        pod["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
        pod["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    };
    let [_, labelled] = workload(&json!("true"), scratch);
    let with = begins(&space, &labelled)?;
    eprintln!("a pod's first line came after {without:.1} s without crik, and {with:.1} s with it");
    space.kubectl(&["exec", "job-0", "--", "sh", "-c", "echo mine >/scratch/file"])?;
    let before = survives(&space)?;
    // crik's own lies in an emptyDir as well, which every pod gets anew.
    ensure!(before.contains("1 file, 5 B, of emptyDirs go along"), "{before}");
    // By the configuration that its container has.
    let listed = space.kubectl(&["exec", "job-0", "--", "/usr/local/lib/crik/bin/crik", "list"])?;
    ensure!(listed.contains("held by job-0"), "{listed}");
    let kept = space.kubectl(&["exec", "job-0", "--", "cat", "/scratch/file"])?;
    ensure!(kept.trim() == "mine", "the program's own emptyDir did not go along: {kept}");
    space.held()
}

#[test]
fn one_label_is_enough_for_a_pod_that_does_not_run_as_root() -> Result<()> {
    let turn = turn()?;
    let _release = Release::new(&turn.cluster)?;
    let space = turn.space("one-label-user")?;
    chosen(&space)?;
    let ordinary = |pod: &mut Value| {
        pod["securityContext"] =
            json!({"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": true, "fsGroup": 1000});
        let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        pod["containers"][0]["securityContext"] = context;
    };
    let [claim, labelled] = workload(&json!("true"), ordinary);
    space.apply(&claim)?;
    // As whoever exports a directory does: a volume of this kind heeds no fsGroup.
    let directory = wait_for("the claim's volume", || space.volume("work").ok())?;
    chown(&directory, Some(1000), Some(1000))?;
    space.apply(&labelled)?;
    survives(&space)?;
    let id = space.kubectl(&["exec", "job-0", "--", "id", "-u"])?;
    ensure!(id.trim() == "1000", "{id}");
    ensure!(fs::read_dir(directory)?.next().is_some(), "nothing was kept");
    space.held()
}
