//! A Job that Kueue takes its place from.

use anyhow::{Context as _, Result};
use crik_tests::cluster::Cluster;
use crik_tests::cluster::images::Image;
use crik_tests::tools;
use crik_tests::wait::wait_for;
use serde_json::{Value, json};

use super::apply;
use super::counting::{Counting, is_complete};
use crate::{Turn, shell};

/// Kueue in a namespace of its own; removed when this is dropped.
pub struct Kueue<'a>(&'a Cluster);

impl<'a> Kueue<'a> {
    /// Installs it as its users do, but for where its image is from and who it runs as, which its own image says.
    pub fn new(cluster: &'a Cluster) -> Result<Self> {
        let built = tools::kueue()?;
        cluster.import(&[Image::of_program("kueue:built", &built.join("manager"))?])?;
        let kueue = Self(cluster);
        let values = "image.repository=kueue,image.tag=built,image.pullPolicy=IfNotPresent,podSecurityContext.runAsUser=65532";
        let values: Vec<String> =
            values.split(',').map(|value| format!("--set controllerManager.manager.{value}")).collect();
        let install = format!(
            "helm install kueue {} --namespace kueue-system --create-namespace --wait \
             --set controllerManager.readinessProbe.initialDelaySeconds=1 {}",
            built.join("chart").display(),
            values.join(" ")
        );
        shell(cluster, &install)?;
        Ok(kueue)
    }
}

impl Drop for Kueue<'_> {
    fn drop(&mut self) {
        let remove = "helm uninstall kueue --namespace kueue-system; kubectl delete namespace kueue-system --timeout=2m";
        if let Err(error) = shell(self.0, remove) {
            eprintln!("Kueue is left behind: {error:#}");
        }
    }
}

/// A quota that one of the two Jobs fits in, of all namespaces; removed when this is dropped.
struct Quota<'a>(&'a Cluster);

impl<'a> Quota<'a> {
    fn new(cluster: &'a Cluster) -> Result<Self> {
        let quota = Self(cluster);
        let flavors = json!([{"name": "any", "resources": [{"name": "cpu", "nominalQuota": "100m"}]}]);
        let queue = json!({
            "namespaceSelector": {},
            "preemption": {"withinClusterQueue": "LowerPriority"},
            "resourceGroups": [{"coveredResources": ["cpu"], "flavors": flavors}],
        });
        let all = [
            object("ResourceFlavor", "any", &json!({"spec": {}})),
            object("ClusterQueue", "work", &json!({"spec": queue})),
            object("WorkloadPriorityClass", "important", &json!({"value": 1000})),
        ];
        quota.apply(&all)?;
        Ok(quota)
    }

    /// Its webhooks may answer a moment after it says that it is ready.
    fn apply(&self, all: &[Value]) -> Result<()> {
        let path = self.0.plane().directory().join("quota.json");
        std::fs::write(&path, json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string())?;
        let apply = || self.0.kubectl(&["apply", "--filename", &path.to_string_lossy()]);
        wait_for("Kueue to take its quota", || apply().ok().map(drop))
            .with_context(|| format!("{:?}", apply().err()))
    }
}

impl Drop for Quota<'_> {
    fn drop(&mut self) {
        let all = "workloadpriorityclasses,clusterqueues,resourceflavors";
        let _ = self.0.kubectl(&["delete", all, "--all", "--timeout=1m"]);
    }
}

/// It is admitted, makes way for a more important Job, and goes on when that has ended.
pub fn gives_way(turn: &Turn, file: &str) -> Result<()> {
    let _quota = Quota::new(&turn.cluster)?;
    let space = apply(turn, file)?;
    space.apply(&object("LocalQueue", "work", &json!({"spec": {"clusterQueue": "work"}})).to_string())?;
    let counting = Counting::of(space, "job-name=sum", 1)?;
    counting.space.apply(&important().to_string())?;
    counting.stopped()?;
    is_complete(&counting.space, "important", 1, 0)?;
    let space = counting.counts_to_the_end()?;
    is_complete(&space, "sum", 1, 0)?;
    // While Kueue is there to let go of them.
    space.kubectl(&["delete", "jobs,localqueues", "--all", "--timeout=1m"])?;
    space.held()
}

/// An object of Kueue's, with what it has besides its name.
fn object(kind: &str, name: &str, rest: &Value) -> Value {
    let mut object =
        json!({"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": {"name": name}});
    for (key, value) in rest.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

/// A Job that takes all of the quota.
fn important() -> Value {
    let labels = json!({"kueue.x-k8s.io/queue-name": "work", "kueue.x-k8s.io/priority-class": "important"});
    let container = json!({
        "name": "app", "image": "python:3.13-slim", "command": ["sleep", "1"], "resources": {"requests": {"cpu": "100m"}},
    });
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "important", "labels": labels},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    })
}
