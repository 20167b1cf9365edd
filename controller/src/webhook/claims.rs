//! The claims that checkpoints are to be kept on. Asked once for all pods of a moment; nothing depends on the answer but a warning.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, Client};
use moka::future::Cache;
use tokio::time::timeout;

use crate::base::limits;
use crate::inject::Claim;

/// Asks about claims.
pub struct Claims {
    client: Client,
    known: Cache<(String, String), Option<Claim>>,
}

impl Claims {
    /// Asks by this client.
    pub fn new(client: Client) -> Self {
        let known =
            Cache::builder().max_capacity(limits::NAMESPACES_KNOWN).time_to_live(limits::NAMESPACE_FRESH);
        Self { client, known: known.build() }
    }

    /// What whoever creates a pod should know of the one that it has.
    pub async fn warning(&self, namespace: &str, name: &str) -> Option<String> {
        let key = (namespace.to_owned(), name.to_owned());
        self.known.get_with(key, self.ask(namespace, name)).await?.warning(name)
    }

    /// Nothing if there is no answer.
    async fn ask(&self, namespace: &str, name: &str) -> Option<Claim> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let found = match timeout(limits::CLAIM_TIMEOUT, api.get_opt(name)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(namespace, claim = name, "the claim of a pod cannot be looked at: {error}");
                return None;
            }
            Err(_) => return None,
        };
        let modes =
            |claim: PersistentVolumeClaim| claim.spec.and_then(|spec| spec.access_modes).unwrap_or_default();
        Some(found.map_or(Claim::Missing, |claim| Claim::There(modes(claim))))
    }
}
