//! Evictions as they go over the wire, so that a test sees what a client sees that does not ask again by itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

/// Evicts pods.
#[derive(Clone)]
pub struct Evictor(Client);

/// What came of an eviction.
#[derive(Debug)]
pub struct Evicted {
    /// The status of the answer.
    pub code: u16,
    /// After how long it is to be asked again, if it says so.
    pub retry_after: Option<Duration>,
    /// The warnings that came with it.
    pub warnings: String,
    /// What it says.
    pub message: String,
}

impl Evicted {
    /// Whether it is let go.
    pub fn is_allowed(&self) -> bool {
        self.code == 201
    }
}

impl Evictor {
    /// One that asks as a kubeconfig file says, and each time once.
    ///
    /// # Errors
    /// The file cannot be used.
    pub async fn new(kubeconfig: &Path) -> Result<Self> {
        let from = Kubeconfig::read_from(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(from, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        Ok(Self(Client::try_from(config)?))
    }

    /// Evicts a pod, or asks what would be, by `query`.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn evict(&self, namespace: &str, pod: &str, query: &str) -> Result<Evicted> {
        let object = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": namespace}});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction{query}");
        let request = http::Request::post(path).header("content-type", "application/json");
        let answer = self.0.send(request.body(Body::from(serde_json::to_vec(&object)?))?).await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let (code, warnings) = (answer.status().as_u16(), header("warning").unwrap_or_default().to_owned());
        let body = answer.into_body().collect().await.context("no body")?.to_bytes();
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = said["message"].as_str().unwrap_or_default().to_owned();
        Ok(Evicted { code, retry_after, warnings, message })
    }
}
