//! A Kubernetes namespace for one test.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Cluster, Node, volumes};
use crate::output::Output;
use crate::tools::tool;
use crate::wait::wait_for;

/// A namespace; all that is in it is removed when this is dropped, pods at once. What was in it is told before, unless
/// the test [held](Self::held).
pub struct Space {
    cluster: Arc<Cluster>,
    name: String,
    held: Cell<bool>,
}

static NEXT: AtomicU32 = AtomicU32::new(1);

impl Space {
    /// Makes one, whose name begins with what the test is about.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn new(cluster: &Arc<Cluster>, about: &str) -> Result<Self> {
        let name = format!("{about}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        cluster.kubectl(&["create", "namespace", &name])?;
        let space = Self { cluster: Arc::clone(cluster), name, held: Cell::new(false) };
        wait_for("the namespace's service account", || {
            space.kubectl(&["get", "serviceaccount", "default"]).ok()
        })?;
        Ok(space)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Runs kubectl in it.
    ///
    /// # Errors
    /// It fails.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["--namespace", &self.name], args].concat())
    }

    /// Applies a manifest.
    ///
    /// # Errors
    /// The API server refuses it.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), manifest)?;
        self.kubectl(&["apply", "--filename", &file.path().to_string_lossy()]).map(drop)
    }

    /// An object, as JSON.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["get", kind, name, "--output", "json"])?)?)
    }

    /// All pods with a label, in the order of their creation.
    ///
    /// # Errors
    /// There is no answer.
    pub fn pods(&self, selector: &str) -> Result<Vec<Value>> {
        let order = "--sort-by=.metadata.creationTimestamp";
        let text = self.kubectl(&["get", "pods", "--selector", selector, "--output", "json", order])?;
        let list: Value = serde_json::from_str(&text)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until a pod of this name runs that is another one than `before`; returns it.
    ///
    /// # Errors
    /// It does not in time; the message has what is known of it.
    pub fn running(&self, name: &str, before: Option<&Value>) -> Result<Value> {
        let uid = before.map(|pod| pod["metadata"]["uid"].clone());
        let runs = || {
            let pod = self.get("pod", name).ok()?;
            let is_new = uid.as_ref().is_none_or(|uid| *uid != pod["metadata"]["uid"]);
            let running = pod["status"]["containerStatuses"][0]["state"]["running"].is_object();
            (is_new && running && pod["metadata"]["deletionTimestamp"].is_null()).then_some(pod)
        };
        let pod = wait_for(&format!("pod {name} to run"), runs).with_context(|| self.describe())?;
        before.iter().for_each(|before| self.tell_move(before, &pod));
        Ok(pod)
    }

    /// Tells whether the pod came to a younger or an older node.
    fn tell_move(&self, from: &Value, to: &Value) {
        let [from, to] = [from, to].map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default());
        let nodes = [from, to].map(|name| self.cluster.node(name).map(Node::ahead));
        if let ([Ok(before), Ok(after)], false) = (nodes, from == to) {
            let (longer, shorter) = (before.max(after), before.min(after));
            let hours = (longer - shorter).as_secs_f64() / 3600.0;
            let boot = if after < before { "later" } else { "earlier" };
            eprintln!("{}: from {from} to {to}, which was booted {hours:.0} hours {boot}", self.name);
        }
    }

    /// The directory of the volume that a claim has.
    ///
    /// # Errors
    /// It has none.
    pub fn volume(&self, claim: &str) -> Result<PathBuf> {
        let claim = self.get("persistentvolumeclaim", claim)?;
        Ok(volumes::path(claim["spec"]["volumeName"].as_str().context("the claim has no volume yet")?))
    }

    /// What comes out of a pod's container from its beginning on.
    ///
    /// # Errors
    /// kubectl cannot be started.
    pub fn follow(&self, pod: &str) -> Result<Follower> {
        let (output, writer) = Output::new()?;
        let child = Command::new(tool("kubectl")?)
            .args(["--namespace", &self.name, "logs", "--follow", pod])
            .env("KUBECONFIG", self.cluster.plane().kubeconfig())
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Follower { child, output })
    }

    /// The last word of a test whose promise was held. A test that fails returns before it, and so the space is described
    /// when it is dropped, be it after a panic or an error.
    ///
    /// # Errors
    /// None; a test ends in a result.
    pub fn held(&self) -> Result<()> {
        self.held.set(true);
        Ok(())
    }

    /// Events and pods, for a failing test.
    pub fn describe(&self) -> String {
        let events = ["get", "events", "--sort-by=.lastTimestamp"];
        let said = [&["get", "pods", "--output", "wide"][..], &events, &["describe", "pods"]]
            .map(|words| self.kubectl(words).unwrap_or_else(|error| error.to_string()));
        said.join("\n")
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if !self.held.get() {
            eprintln!("{}", self.describe());
        }
        let now = ["delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false"];
        let _ = self.kubectl(&["delete", "statefulsets,deployments,jobs", "--all", "--cascade=background"]);
        let _ = self.kubectl(&now);
        let _ = self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// What comes out of a container, as `kubectl logs --follow` tells it.
pub struct Follower {
    child: Child,
    /// The log and the program's output, in the order in which they came.
    pub output: Output,
}

impl Follower {
    /// Waits for the container's end, and returns all that came out of it.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn whole(mut self) -> Result<String> {
        self.output.wait_for_end()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "kubectl logs ended with {status}");
        Ok(self.output.text())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
