//! A release of the chart whose webhook a real API server asks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::template::{chart, values};
use crate::control_plane::{Account, ControlPlane, PatchKind, Port};
use crate::controller::Controller;
use crate::shared::Shared;
use crate::wait::wait_for;

/// Where crik is in a pod that was put under it.
const CRIK: &str = "/usr/local/lib/crik/bin/crik";

/// What the release of the chart in each of these namespaces is told.
const VALUES: &str = r#"{
    "inject": {"enabled": true, "volumeClaim": "checkpoints", "agentImage": "registry.example/crik-agent:1",
               "namespaceSelector": {"matchLabels": {"crik.dev/injection": "NAMESPACE"}},
               "moves": {"perNode": 8, "perCluster": 12}},
    "resourceQuota": {"enabled": false}
}"#;

/// How the flags begin that say what the API server is answered.
const ASKED_BY: [&str; 4] = ["--webhook", "--workloads", "--moves", "--eviction"];

/// Its webhook for new pods.
const INJECT: Asked = Asked { kind: "mutatingwebhookconfigurations", path: "inject" };

/// Its webhook for evictions, behind which the controller writes a word of its own.
const EVICT: Asked = Asked { kind: "validatingwebhookconfigurations", path: "evict" };

/// What the API server asks.
struct Asked {
    /// Where that is written.
    kind: &'static str,
    /// What is asked for.
    path: &'static str,
}

static PLANE: Shared<ControlPlane> = Shared::new();

/// A release of the chart in a namespace of its own, whose webhook the API server finds at a port of this machine, and which is asked about
/// pods of this namespace alone. There is nobody here who would run the release's Deployment.
pub struct Release {
    /// Where it is.
    pub plane: Arc<ControlPlane>,
    /// Where its controller is asked.
    pub port: Port,
    namespace: &'static str,
}

impl Release {
    /// Installs one, which nobody answers for yet.
    ///
    /// # Errors
    /// helm, or the API server, refuses.
    pub fn new(namespace: &'static str) -> Result<Self> {
        Self::with(namespace, &json!({}))
    }

    /// The same with further values of `inject`.
    ///
    /// # Errors
    /// helm, or the API server, refuses.
    pub fn with(namespace: &'static str, inject: &Value) -> Result<Self> {
        let plane = PLANE.get(ControlPlane::start)?;
        let labels = json!({"crik.dev/injection": namespace});
        plane.api().create_all(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}),
        ])?;
        let mut all: Value = serde_json::from_str(&VALUES.replace("NAMESPACE", namespace))?;
        merge(&mut all["inject"], inject);
        let file = values(&all.to_string())?;
        let path = file.path().display().to_string();
        drop(plane.helm(&["install", "crik", &chart(), "--namespace", namespace, "--values", &path])?);
        let release = Self { plane, namespace, port: Port::take()? };
        release.found_at(&[("inject.crik.dev", release.port.number())])?;
        release.evictions_at(&[("evict.crik.dev", release.port.number(), "")])?;
        Ok(release)
    }

    /// Where what the API server asks about new pods is written.
    pub fn configuration_path(&self) -> String {
        self.path_of(&INJECT)
    }

    fn path_of(&self, asked: &Asked) -> String {
        format!("/apis/admissionregistration.k8s.io/v1/{}/{}-crik-controller", asked.kind, self.namespace)
    }

    /// Makes of the chart's webhook for new pods one at each of these ports, as there is no Service here.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn found_at(&self, ports: &[(&str, u16)]) -> Result<()> {
        let all: Vec<_> = ports.iter().map(|&(name, port)| (name, port, "")).collect();
        self.write(&INJECT, &all)
    }

    /// The same of the one for evictions; each is asked if its condition holds, which is written in CEL, or always.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn evictions_at(&self, webhooks: &[(&str, u16, &str)]) -> Result<()> {
        self.write(&EVICT, webhooks)
    }

    fn write(&self, asked: &Asked, webhooks: &[(&str, u16, &str)]) -> Result<()> {
        let path = self.path_of(asked);
        let there = self.plane.api().get(&path)?;
        let at = |(name, port, condition): &(&str, u16, &str)| {
            let mut webhook = there["webhooks"][0].clone();
            webhook["name"] = json!(name);
            webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}/{}", asked.path)});
            if !condition.is_empty() {
                webhook["matchConditions"] = json!([{"name": "which", "expression": condition}]);
            }
            webhook
        };
        let webhooks: Vec<Value> = webhooks.iter().map(at).collect();
        drop(self.plane.api().patch(&path, PatchKind::Merge, &json!({"webhooks": webhooks}))?);
        Ok(())
    }

    /// The controller of the release, with the rights and the flags that the chart gives it, at this port.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn controller_at(&self, port: u16, flags: &[&str]) -> Result<Controller> {
        let account = Account { namespace: self.namespace, name: "crik-controller" };
        let own = self.flags(port)?;
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        Controller::watching(&self.plane.kubeconfig_of(account)?, &[&own[..], flags].concat())
    }

    /// What the chart says of the webhook, but for what is another thing here: where it is.
    fn flags(&self, port: u16) -> Result<Vec<String>> {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/crik-controller", self.namespace);
        let deployment = self.plane.api().get(&path)?;
        let all = deployment["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        let (listen, file) = (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), self.settings()?);
        let here = |flag: &str| match flag.split('=').next()? {
            "--webhook-listen" => Some(format!("--webhook-listen={listen}")),
            "--inject-file" => Some(format!("--inject-file={}", file.display())),
            "--webhook-names" => Some("--webhook-names=127.0.0.1".to_owned()),
            other if ASKED_BY.iter().any(|part| other.starts_with(part)) => Some(flag.to_owned()),
            _ => None,
        };
        Ok(all.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(here).collect())
    }

    /// The same, which the API server has begun to ask.
    ///
    /// # Errors
    /// It does not get ready, or is not asked.
    pub fn controller(&self, flags: &[&str]) -> Result<Controller> {
        let controller = self.controller_at(self.port.number(), flags)?;
        controller.logs("the webhook has a certificate")?;
        self.becomes("to be asked", true)?;
        Ok(controller)
    }

    /// What the release's ConfigMap gives its controller.
    fn settings(&self) -> Result<PathBuf> {
        let path = format!("/api/v1/namespaces/{}/configmaps/crik-controller-inject", self.namespace);
        let text = self.plane.api().get(&path)?["data"]["inject.yaml"].clone();
        let file = self.plane.directory().join(format!("{}-inject.yaml", self.namespace));
        std::fs::write(&file, text.as_str().context("no inject.yaml")?)?;
        Ok(file)
    }

    /// Where it is.
    pub fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// Where its claims are.
    pub fn claims(&self) -> String {
        format!("/api/v1/namespaces/{}/persistentvolumeclaims", self.namespace)
    }

    /// Where its pods are.
    pub fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// What a dry run of a labelled pod makes of it.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn tried(&self) -> Result<Value> {
        self.plane.api().create(&format!("{}?dryRun=All", self.pods()), &pod("tried", &json!({})))
    }

    /// Waits until labelled pods are put under crik, or are not.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn becomes(&self, what: &str, under_crik: bool) -> Result<()> {
        wait_for(&format!("the webhook {what}"), || {
            self.tried().is_ok_and(|pod| is_under_crik(&pod) == under_crik).then_some(())
        })
    }

    /// What kubectl says to whoever creates this pod, with its warnings.
    ///
    /// # Errors
    /// There is no warning.
    pub fn warned(&self, pod: &Value) -> Result<String> {
        let file = values(&pod.to_string())?;
        let path = file.path().display().to_string();
        let words = ["create", "--namespace", self.namespace, "--filename", &path];
        let said = self.plane.kubectl(&[&words[..], &["--dry-run=server", "--warnings-as-errors"]].concat());
        Ok(format!("{:#}", said.err().context("there is no warning")?))
    }
}

/// A labelled pod with these changes.
pub fn pod(name: &str, change: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"crik.dev/inject": "true"}},
        "spec": {"containers": [{"name": "app", "image": "python:3", "command": ["python3", "job.py"]}]},
    });
    merge(&mut pod, change);
    pod
}

/// As RFC 7396 has it.
fn merge(into: &mut Value, change: &Value) {
    let (Value::Object(into), Value::Object(change)) = (&mut *into, change) else {
        *into = change.clone();
        return;
    };
    for (key, value) in change {
        merge(into.entry(key.clone()).or_insert(Value::Null), value);
    }
}

/// Whether its container starts crik.
pub fn is_under_crik(pod: &Value) -> bool {
    pod["spec"]["containers"][0]["command"][0] == CRIK
}
