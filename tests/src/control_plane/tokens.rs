//! ServiceAccounts and their tokens, made as the kubelet makes them: by the TokenRequest API.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::ControlPlane;
use super::kubeconfig::Identity;

/// A ServiceAccount.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What a token is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenRequest<'a> {
    /// For whom it is; the API server itself if empty.
    pub audience: &'a str,
    /// The pod that it is bound to, if any: such a token names the pod's node, and dies with the pod.
    pub pod: &'a str,
    /// How long it is to live, in seconds; an hour if zero. The API server gives no less than ten minutes.
    pub seconds: u32,
}

impl ControlPlane {
    /// A token of a ServiceAccount.
    ///
    /// # Errors
    /// The API server refuses.
    pub fn token(&self, account: Account<'_>, request: TokenRequest<'_>) -> Result<String> {
        let base = format!("/api/v1/namespaces/{}", account.namespace);
        let mut spec =
            json!({"expirationSeconds": if request.seconds == 0 { 3600 } else { request.seconds }});
        if !request.audience.is_empty() {
            spec["audiences"] = json!([request.audience]);
        }
        if !request.pod.is_empty() {
            let pod = self.api().get(&format!("{base}/pods/{}", request.pod))?;
            let uid = &pod["metadata"]["uid"];
            spec["boundObjectRef"] =
                json!({"apiVersion": "v1", "kind": "Pod", "name": request.pod, "uid": uid});
        }
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let answer = self.api().create(&format!("{base}/serviceaccounts/{}/token", account.name), &asked)?;
        Ok(answer["status"]["token"].as_str().context("no token came")?.to_owned())
    }

    /// A kubeconfig of a ServiceAccount, at the API server's own address.
    ///
    /// # Errors
    /// The API server gives no token.
    pub fn kubeconfig_of(&self, account: Account<'_>) -> Result<PathBuf> {
        self.kubeconfig_of_at(account, &self.url())
    }

    /// A kubeconfig of a ServiceAccount, for the API server as it is reached by way of another address.
    ///
    /// # Errors
    /// The API server gives no token.
    pub fn kubeconfig_of_at(&self, account: Account<'_>, url: &str) -> Result<PathBuf> {
        let name = format!("{}-{}", account.namespace, account.name);
        let path = self.directory().join(format!("{name}.token"));
        fs::write(&path, self.token(account, TokenRequest::default())?)?;
        self.kubeconfig_at(&name, &Identity::TokenFile(&path), url)
    }

    /// Creates the identity that the controller has by `deploy/controller.yaml`, and no more than that gives it.
    ///
    /// # Errors
    /// The manifest cannot be read, or the API server refuses it.
    pub fn create_controllers_identity(&self) -> Result<Account<'static>> {
        let identity =
            ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
        let wanted = |object: &Value| object["kind"].as_str().is_some_and(|kind| identity.contains(&kind));
        let objects: Vec<Value> = manifest()?.into_iter().filter(wanted).collect();
        self.api().create_all(&objects)?;
        Ok(Account { namespace: "crik", name: "crik-controller" })
    }
}

/// The controller's plain manifest.
fn manifest() -> Result<Vec<Value>> {
    let path = crate::build::workspace().join("deploy/controller.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(serde::Deserialize::deserialize);
    documents.collect::<Result<_, _>>().with_context(|| format!("cannot parse {}", path.display()))
}
