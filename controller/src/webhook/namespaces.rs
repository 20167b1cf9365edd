//! The labels of namespaces, by which it is known which pods they let in. Asked once for all pods of a moment.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use moka::future::Cache;
use tokio::time::timeout;

use crate::base::causes::with_causes;
use crate::base::limits;
use crate::inject::Labels;

/// Asks about namespaces.
pub struct Namespaces {
    api: Api<Namespace>,
    known: Cache<String, Arc<Labels>>,
}

impl Namespaces {
    /// Asks by this client.
    pub fn new(client: Client) -> Self {
        let known =
            Cache::builder().max_capacity(limits::NAMESPACES_KNOWN).time_to_live(limits::NAMESPACE_FRESH);
        Self { api: Api::all(client), known: known.build() }
    }

    /// The labels of one.
    ///
    /// # Errors
    /// Why they are not known, with the remedy.
    pub async fn labels(&self, name: &str) -> Result<Arc<Labels>, Arc<String>> {
        self.known.try_get_with(name.to_owned(), self.ask(name)).await
    }

    async fn ask(&self, name: &str) -> Result<Arc<Labels>, String> {
        let said = timeout(limits::NAMESPACE_TIMEOUT, self.api.get_metadata(name)).await;
        let said = said.map_err(|_| "the API server takes too long to show it".to_owned())?;
        let namespace = said.map_err(|error| with_causes(&error))?;
        Ok(Arc::new(namespace.metadata.labels.unwrap_or_default()))
    }
}
