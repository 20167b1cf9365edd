//! Sees to it that there is a certificate, that all replicas have the same, and that the API server believes it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::ServerConfig;

use super::material::{Material, Wanted};
use crate::base::causes::with_causes;
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::random::up_to;
use crate::tls::Tls;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret, which has to be there.
    pub secret: String,
    /// The MutatingWebhookConfiguration, whose webhooks are all answered by this program.
    pub configuration: String,
}

/// Keeps the certificate.
pub struct Keeper {
    place: Place,
    names: Vec<String>,
    life: Duration,
    secrets: Api<Secret>,
    configurations: Api<MutatingWebhookConfiguration>,
    served: Option<Material>,
    complaint: Complaint,
}

impl Keeper {
    /// One that has none yet.
    pub fn new(client: Client, place: Place, names: Vec<String>, life: Duration) -> Self {
        let secrets = Api::namespaced(client.clone(), &place.namespace);
        Self {
            place,
            names,
            life,
            secrets,
            configurations: Api::all(client),
            served: None,
            complaint: Complaint::default(),
        }
    }

    /// Waits until there is a certificate, and keeps it from then on.
    pub async fn start(mut self) -> Tls {
        let first = loop {
            if let Some(config) = self.look().await {
                break config;
            }
        };
        let (sender, config) = watch::channel(first);
        tokio::spawn(async move {
            while !sender.is_closed() {
                if let Some(config) = self.look().await {
                    sender.send_replace(config);
                }
            }
        });
        Tls::following(config)
    }

    /// Looks whether another certificate is to be served, and waits until it is time to look again if none is.
    async fn look(&mut self) -> Option<Arc<ServerConfig>> {
        let step = self.step().await;
        let why = step.as_ref().err().map(|error| format!("{error:#}"));
        let is_news = self.complaint.is_news(why.as_deref());
        if let Some(why) = why.as_ref().filter(|_| is_news) {
            tracing::warn!("the webhook's certificate cannot be kept: {why}");
        }
        let found = step.ok().flatten();
        if found.is_none() {
            let usual = limits::CERTIFICATE_LOOK.min(self.life / 12);
            let pause = if why.is_some() { limits::CERTIFICATE_RETRY } else { usual };
            sleep(pause + up_to(pause / 4)).await;
        }
        found
    }

    /// What is to be served, if it is something else than before.
    async fn step(&mut self) -> Result<Option<Arc<ServerConfig>>> {
        let material = self.material().await?;
        let is_told = self.tell_authorities(&material).await?;
        if self.served.as_ref() == Some(&material) {
            return Ok(None);
        }
        if is_told && self.served.is_some() {
            // It learns of it by a watch, and until then believes the one before, which is served until then.
            sleep(limits::AUTHORITY_SPREAD).await;
        }
        let config = material.config()?;
        tracing::info!("the webhook has a certificate from the Secret {}", self.place.secret);
        self.served = Some(material);
        Ok(Some(config))
    }

    /// What is in the Secret, after it was renewed if it had to be. If another replica has done that meanwhile, this is an error that
    /// passes.
    async fn material(&self) -> Result<Material> {
        let Place { namespace, secret: name, .. } = &self.place;
        let read = asked(self.secrets.get(name)).await;
        let mut secret =
            read.with_context(|| format!("the Secret {name} of the namespace {namespace} cannot be read"))?;
        let before = secret.data.as_ref().and_then(Material::of);
        let wanted = Wanted { names: self.names.clone(), life: self.life };
        let Some(material) = Material::renewed(before.as_ref(), &wanted, Timestamp::now())? else {
            return before.context("there is nothing, and it needs no renewal; please report this");
        };
        secret.data = Some(material.data()?);
        let written = asked(self.secrets.replace(name, &PostParams::default(), &secret)).await;
        written
            .with_context(|| format!("the Secret {name} of the namespace {namespace} cannot be written"))?;
        Ok(material)
    }

    /// Tells the API server whom to believe, unless it knows that; true if it had to be told.
    async fn tell_authorities(&self, material: &Material) -> Result<bool> {
        let name = &self.place.configuration;
        let read = asked(self.configurations.get(name)).await;
        let there =
            read.with_context(|| format!("the MutatingWebhookConfiguration {name} cannot be read"))?;
        let authorities = ByteString(material.authorities().as_bytes().to_vec());
        let unknowing: Vec<Value> = there
            .webhooks
            .iter()
            .flatten()
            .filter(|webhook| webhook.client_config.ca_bundle.as_ref() != Some(&authorities))
            .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": authorities}}))
            .collect();
        if unknowing.is_empty() {
            return Ok(false);
        }
        let patch = Patch::Strategic(json!({"webhooks": unknowing}));
        let told = asked(self.configurations.patch(name, &PatchParams::default(), &patch)).await;
        told.with_context(|| format!("the MutatingWebhookConfiguration {name} cannot be written"))?;
        Ok(true)
    }
}

/// The answer of the API server, unless it takes too long.
async fn asked<T>(question: impl Future<Output = kube::Result<T>>) -> Result<T> {
    let answer =
        timeout(limits::CERTIFICATE_TIMEOUT, question).await.context("the API server does not answer")?;
    answer.map_err(|error| anyhow::Error::msg(with_causes(&error)))
}
