//! Sees to it that there is a certificate, that all replicas have the same, and that the API server believes it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::rustls::ServerConfig;

use super::asked::{Problem, asked};
use super::configuration::Configuration;
use super::material::{Material, Wanted};
use super::place::Place;
use crate::base::complaint::Complaint;
use crate::base::limits;
use crate::base::random::up_to;
use crate::tls::Tls;

/// Keeps the certificate.
pub struct Keeper {
    place: Place,
    names: Vec<String>,
    life: Duration,
    secrets: Api<Secret>,
    configurations: Vec<Configuration>,
    served: Option<Material>,
    /// Where evictions are asked about; empty until there is a certificate.
    eviction_path: watch::Sender<String>,
    complaint: Complaint,
}

impl Keeper {
    /// One that has none yet.
    pub fn new(client: Client, place: Place, names: Vec<String>, life: Duration) -> Self {
        let secrets = Api::namespaced(client.clone(), &place.namespace);
        let configurations = Configuration::of(&place, &client);
        Self {
            place,
            names,
            life,
            secrets,
            configurations,
            served: None,
            eviction_path: watch::Sender::default(),
            complaint: Complaint::default(),
        }
    }

    /// Where evictions may be asked about, as it is now: empty as long as nobody can know that.
    pub fn eviction_path(&self) -> watch::Receiver<String> {
        self.eviction_path.subscribe()
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
            let is_well = why.is_none() && self.served.is_some();
            let pause = if is_well { usual } else { limits::CERTIFICATE_RETRY };
            sleep(pause + up_to(pause / 4)).await;
        }
        found
    }

    /// What is to be served, if it is something else than before.
    async fn step(&mut self) -> Result<Option<Arc<ServerConfig>>> {
        let Some(material) = self.material().await? else { return Ok(None) };
        self.eviction_path.send_replace(material.eviction_path());
        let failed = self.tell(&material).await;
        let is_served = self.served.as_ref() == Some(&material);
        // Where one of them cannot be told, what the other one is about is answered nevertheless.
        let is_in_vain = is_served || failed.len() == self.configurations.len();
        if let Some(error) = failed.into_iter().next().filter(|_| is_in_vain) {
            return Err(error);
        }
        if is_served {
            return Ok(None);
        }
        if self.served.as_ref().is_some_and(|served| served.authorities() != material.authorities()) {
            // The API server learns of them by a watch, whichever replica has told it; what is served until then it believes too.
            sleep(limits::AUTHORITY_SPREAD).await;
        }
        let config = material.config()?;
        tracing::info!("the webhook has a certificate from the Secret {}", self.place.secret);
        self.served = Some(material);
        Ok(Some(config))
    }

    /// Tells the API server whom to believe and where to ask, wherever it looks that up; what has failed of it.
    async fn tell(&self, material: &Material) -> Vec<anyhow::Error> {
        let mut failed = Vec::new();
        for configuration in &self.configurations {
            failed.extend(configuration.tell(material).await.err());
        }
        failed
    }

    /// What is in the Secret, after it was renewed if it had to be; none if another replica has just done that.
    async fn material(&self) -> Result<Option<Material>> {
        let Place { namespace, secret: name, .. } = &self.place;
        let read = asked(self.secrets.get(name)).await;
        let mut secret =
            read.with_context(|| {
                format!(
                    "the Secret {name} of the namespace {namespace} cannot be read; if it was deleted, helm upgrade makes it anew, and it is tried \
                     again until then"
                )
            })?;
        let before = secret.data.as_ref().and_then(Material::of);
        let wanted = Wanted { names: self.names.clone(), life: self.life };
        let Some(material) = Material::renewed(before.as_ref(), &wanted, Timestamp::now())? else {
            return Ok(before);
        };
        secret.data = Some(material.data()?);
        match asked(self.secrets.replace(name, &PostParams::default(), &secret)).await {
            // Another replica was sooner, and what it has written is to be served.
            Err(Problem::Conflict) => Ok(None),
            written => {
                written.with_context(|| {
                    format!("the Secret {name} of the namespace {namespace} cannot be written")
                })?;
                Ok(Some(material))
            }
        }
    }
}
