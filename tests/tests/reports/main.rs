//! What agents report, at a real API server: it stands on their pods, Events tell of it, and it is counted once.

mod agent;
mod once;
mod prometheus;
mod refused;
mod told;
mod workloads;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use crik_tests::chart::template::{chart, values};
use crik_tests::control_plane::{Account, ControlPlane};
use crik_tests::controller::{Controller, TestNode};
use crik_tests::shared::Shared;
use serde_json::json;

use self::agent::Agent;

const APP: Account<'_> = Account { namespace: "default", name: "app" };
const CONTROLLER: Account<'_> = Account { namespace: "crik", name: "crik-controller" };
const PODS: &str = "/api/v1/namespaces/default/pods";

/// The release whose rights the controller has.
const VALUES: &str = r#"{
    "inject": {"enabled": true, "reports": true, "agentImage": "registry.example/crik-agent:1"},
    "resourceQuota": {"enabled": false}
}"#;

/// One for all tests, each of which has pods of its own.
static CLUSTER: Shared<Cluster> = Shared::new();

/// A control plane with a node, and two replicas with the rights that the chart gives.
struct Cluster {
    replicas: [Controller; 2],
    kubeconfig: PathBuf,
    plane: ControlPlane,
}

impl Cluster {
    fn shared() -> Result<Arc<Self>> {
        CLUSTER.get(Self::new)
    }

    fn new() -> Result<Self> {
        let (plane, kubeconfig) = plane()?;
        let start = || Controller::watching(&kubeconfig, &["--reports", "--workloads"]);
        Ok(Self { replicas: [start()?, start()?], kubeconfig, plane })
    }

    fn agent(&self, pod: &str) -> Result<Agent<'_>> {
        Agent::of(&self.plane, pod, &json!({}))
    }
}

/// A control plane with a node, a ServiceAccount for pods, and a release of the chart; and a kubeconfig of its controller.
fn plane() -> Result<(ControlPlane, PathBuf)> {
    let plane = ControlPlane::start()?;
    plane.create_node(&TestNode::ready("a"))?;
    plane.api().create_all(&[
        json!({"kind": "ServiceAccount", "metadata": {"name": "app"}}),
        json!({"kind": "Namespace", "metadata": {"name": "crik"}}),
    ])?;
    let file = values(VALUES)?;
    let path = file.path().display().to_string();
    drop(plane.helm(&["install", "crik", &chart(), "--namespace", "crik", "--values", &path])?);
    let kubeconfig = plane.kubeconfig_of(CONTROLLER)?;
    Ok((plane, kubeconfig))
}

/// A controller alone, so that what it counts is of one test.
fn alone(cluster: &Cluster, flags: &[&str]) -> Result<Controller> {
    Controller::watching(&cluster.kubeconfig, &[&["--reports"], flags].concat())
}
