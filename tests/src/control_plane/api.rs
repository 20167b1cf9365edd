//! Requests to the API server as they go over the wire, so that a test can write what a real writer writes.

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use std::path::Path;
use tokio::runtime::Runtime;

/// The three ways to change a part of an object that the API server knows.
#[derive(Debug, Clone, Copy)]
pub enum PatchKind {
    /// RFC 7396.
    Merge,
    /// As `kubectl patch` and the kubelet do: lists of conditions are merged by type.
    Strategic,
    /// RFC 6902.
    Json,
}

/// A client that blocks.
pub struct Api {
    runtime: Runtime,
    client: Client,
}

impl Api {
    /// One that asks as a kubeconfig file says.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let config = Kubeconfig::read_from(kubeconfig)?;
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { runtime, client })
    }

    /// The client itself, for what is to run at once.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs a future to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Gets what is at a path, such as `/api/v1/nodes/a`.
    ///
    /// # Errors
    /// There is no answer, or the API server refuses.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, "", &Value::Null)
    }

    /// The text that is at a path, for those that do not speak JSON, such as `/readyz`.
    ///
    /// # Errors
    /// There is no answer, or the API server refuses.
    pub fn text(&self, path: &str) -> Result<String> {
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(self.runtime.block_on(self.client.request_text(request))?)
    }

    /// Creates an object in a collection such as `/api/v1/nodes`.
    ///
    /// # Errors
    /// There is no answer, or the API server refuses.
    pub fn create(&self, collection: &str, object: &Value) -> Result<Value> {
        self.send("POST", collection, "application/json", object)
    }

    /// Changes an object; its status by the path that ends in `/status`.
    ///
    /// # Errors
    /// There is no answer, or the API server refuses.
    pub fn patch(&self, path: &str, kind: PatchKind, patch: &Value) -> Result<Value> {
        let content = match kind {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Json => "application/json-patch+json",
        };
        self.send("PATCH", path, content, patch)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// There is no answer, or the API server refuses.
    pub fn delete(&self, path: &str) -> Result<Value> {
        self.send("DELETE", path, "", &Value::Null)
    }

    fn send(&self, method: &str, path: &str, content: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let mut request = http::Request::builder().method(method).uri(path);
        if !content.is_empty() {
            request = request.header("content-type", content);
        }
        let answer = self.runtime.block_on(self.client.request::<Value>(request.body(body)?));
        answer.with_context(|| format!("{method} {path}"))
    }

    /// Creates what a file of several YAML documents has, each in its place.
    ///
    /// # Errors
    /// A document's kind is not known here, or the API server refuses.
    pub fn create_all(&self, documents: &[Value]) -> Result<()> {
        documents.iter().try_for_each(|object| self.create(&collection(object)?, object).map(drop))
    }
}

/// Where objects of its kind are created.
fn collection(object: &Value) -> Result<String> {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
    Ok(match object["kind"].as_str().unwrap_or_default() {
        "Namespace" => "/api/v1/namespaces".to_owned(),
        "Node" => "/api/v1/nodes".to_owned(),
        "ServiceAccount" => format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        "Pod" => format!("/api/v1/namespaces/{namespace}/pods"),
        "ClusterRole" => "/apis/rbac.authorization.k8s.io/v1/clusterroles".to_owned(),
        "ClusterRoleBinding" => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned(),
        "Role" => format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles"),
        "RoleBinding" => format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"),
        other => bail!("the harness does not create objects of kind {other:?}"),
    })
}
