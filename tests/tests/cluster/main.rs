//! End to end, on a real cluster: what a user sees with `kubectl`.
//!
//! All tests share one cluster, in which the README's own commands have installed the controller. They run one after the
//! other, since most of them do something to a node.

mod drains;
mod examples;
mod flapping;
mod images;
mod kubectl_crik;
mod kubelet_shutdown;
mod lost_node;
mod one_label;
mod outages;
mod preemptions;
mod quick_start;
mod recipes;
mod rough_edges;
mod security;
mod sudden_ends;
mod trial;
mod who_ended_it;
mod workloads;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use crik_tests::cluster::{Cluster, Space};
use crik_tests::shared::Shared;
use crik_tests::wait::wait_for;
use serde_json::Value;

/// The cluster, for one test alone.
struct Turn {
    cluster: Arc<Cluster>,
    _alone: MutexGuard<'static, ()>,
}

static CLUSTER: Shared<Cluster> = Shared::new();
static ALONE: Mutex<()> = Mutex::new(());

/// True if it could not be started, which is tried once only.
static BROKEN: AtomicBool = AtomicBool::new(false);

fn start() -> Result<Cluster> {
    let cluster = Cluster::start()?;
    quick_start::set_up(&cluster)?;
    Ok(cluster)
}

/// Waits for this test's turn. The cluster lives as long as a test waits.
fn turn() -> Result<Turn> {
    ensure!(!BROKEN.load(Ordering::Relaxed), "the cluster does not start; see another test");
    let cluster = CLUSTER.get(|| start().inspect_err(|_| BROKEN.store(true, Ordering::Relaxed)))?;
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Turn { cluster, _alone: alone })
}

impl Turn {
    /// A namespace for this test.
    fn space(&self, about: &str) -> Result<Space> {
        Space::new(&self.cluster, about)
    }
}

impl Drop for Turn {
    /// The next test finds all nodes as this one did.
    fn drop(&mut self) {
        for node in self.cluster.nodes() {
            // A kubelet that has let its machine go says that it shuts down until it is started again.
            if !node.shutdown_is_delayed().unwrap_or(false) {
                node.kill();
                let _ = self.cluster.boot(node);
            }
            let _ = self.cluster.kubectl(&["uncordon", &node.name()]);
            let no_taints = r#"{"spec":{"taints":null}}"#;
            let _ =
                self.cluster.kubectl(&["patch", "node", &node.name(), "--type=merge", "--patch", no_taints]);
        }
        if let Err(error) = self.cluster.wait_until_ready() {
            eprintln!("{error:#}");
        }
    }
}

/// The name of the node that a pod is on.
fn node_of(pod: &Value) -> Result<String> {
    Ok(pod["spec"]["nodeName"].as_str().context("the pod is on no node")?.to_owned())
}

/// Takes a pod's node away from it as an operator does who drains by hand: cordons the node and deletes the pod, and makes
/// the node well again when the pod's successor runs. Returns the successor.
fn preempt(space: &Space, pod: &Value) -> Result<Value> {
    let node = node_of(pod)?;
    let name = pod["metadata"]["name"].as_str().context("no name")?;
    space.cluster().kubectl(&["cordon", &node])?;
    space.kubectl(&["delete", "pod", name, "--wait=false"])?;
    let successor = space.running(name, Some(pod))?;
    ensure!(node_of(&successor)? != node, "the successor is on the cordoned node");
    space.cluster().kubectl(&["uncordon", &node])?;
    Ok(successor)
}

/// Waits until a pod's log has a text.
fn logs(space: &Space, pod: &str, text: &str) -> Result<String> {
    wait_for(&format!("{text:?} in the log of {pod}"), || {
        space.kubectl(&["logs", pod]).ok().filter(|log| log.contains(text))
    })
    .with_context(|| format!("{}\n{}", space.kubectl(&["logs", pod]).unwrap_or_default(), space.describe()))
}

/// Text without the line at its end that its program is still writing.
fn whole_lines(text: &str) -> String {
    text[..text.rfind('\n').map_or(0, |end| end + 1)].to_owned()
}

/// The lines of a log that are numbers, as the counter's own are.
fn numbers(log: &str) -> impl Iterator<Item = u64> {
    log.lines().filter_map(|line| line.parse().ok())
}

/// Runs a line of a document in the shell, with the cluster's tools and configuration.
fn shell(cluster: &Cluster, line: &str) -> Result<String> {
    let tools = crik_tests::tools::tool("kubectl")?;
    let tools = tools.parent().context("no directory")?.display().to_string();
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(crik_tests::build::workspace())
        .env("PATH", format!("{tools}:{}", std::env::var("PATH")?))
        .env("KUBECONFIG", cluster.plane().kubeconfig())
        .env("HOME", cluster.plane().directory())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
