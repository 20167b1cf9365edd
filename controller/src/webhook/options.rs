//! The part of the command line that is about the webhook.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::own::Place;
use crate::base::limits;
use crate::evict::Limits;
use crate::tls::Files;

/// How the API server is answered.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address of the admission webhook, which puts pods under crik that have the label crik.dev/inject; none without it.
    #[arg(long, value_name = "ADDRESS", requires = "inject_file", env = "CRIK_WEBHOOK_LISTEN")]
    pub webhook_listen: Option<SocketAddr>,
    /// YAML file of what such pods are given: agentImage, imagePullPolicy, agentPullSecrets, volumeClaim, tokenAudience, hostUsers,
    /// podSecurityDefault, lookUpImages, pullSecrets, registries, and as defaults keys of the agent's configuration.
    #[arg(long, value_name = "FILE", requires = "webhook_listen", env = "CRIK_INJECT_FILE")]
    pub inject_file: Option<PathBuf>,
    /// PEM file of the webhook's certificate, followed by those that signed it. Re-read when it changes.
    #[arg(long, value_name = "FILE", requires = "webhook_tls_key_file", env = "CRIK_WEBHOOK_TLS_CERT_FILE")]
    pub webhook_tls_cert_file: Option<PathBuf>,
    /// PEM file of that certificate's private key. Re-read when it changes.
    #[arg(long, value_name = "FILE", requires = "webhook_tls_cert_file", env = "CRIK_WEBHOOK_TLS_KEY_FILE")]
    pub webhook_tls_key_file: Option<PathBuf>,
    /// Secret in which the webhook keeps a certificate of its own, which it renews: NAMESPACE/NAME. It has to be there, and may be empty.
    #[arg(long, value_name = "SECRET", requires_all = ["webhook_configuration", "webhook_names"],
          conflicts_with = "webhook_tls_cert_file", env = "CRIK_WEBHOOK_SECRET", value_parser = secret)]
    pub webhook_secret: Option<(String, String)>,
    /// MutatingWebhookConfiguration in which the API server is told whom to believe.
    #[arg(long, value_name = "NAME", requires = "webhook_secret", env = "CRIK_WEBHOOK_CONFIGURATION")]
    pub webhook_configuration: Option<String>,
    /// ValidatingWebhookConfiguration in which it is told the same, for evictions.
    #[arg(
        long,
        value_name = "NAME",
        requires = "webhook_secret",
        env = "CRIK_WEBHOOK_VALIDATING_CONFIGURATION"
    )]
    pub webhook_validating_configuration: Option<String>,
    /// Names that the certificate is for, separated by commas: SERVICE.NAMESPACE.svc.
    #[arg(
        long,
        value_name = "NAME",
        requires = "webhook_secret",
        value_delimiter = ',',
        env = "CRIK_WEBHOOK_NAMES"
    )]
    pub webhook_names: Vec<String>,
    /// How long such a certificate is good, from 10s to 3650 days; it is renewed when a third of that is left.
    #[arg(long, value_name = "DURATION", default_value = "90d", env = "CRIK_WEBHOOK_CERTIFICATE_LIFE", value_parser = life)]
    pub webhook_certificate_life: Duration,
    /// How evictions are held up, if --workloads is given too.
    #[command(flatten)]
    pub limits: Limits,
}

impl Options {
    /// Where its own certificate is kept, if it is to have one.
    pub fn place(&self) -> Option<Place> {
        let (namespace, secret) = self.webhook_secret.clone()?;
        let (configuration, validating) =
            (self.webhook_configuration.clone()?, self.webhook_validating_configuration.clone());
        Some(Place { namespace, secret, configuration, validating })
    }

    /// The files of its certificate, if they are given.
    pub fn files(&self) -> Option<Files> {
        let (certificate, key) = self.webhook_tls_cert_file.clone().zip(self.webhook_tls_key_file.clone())?;
        Some(Files { certificate, key, flags: ["--webhook-tls-cert-file", "--webhook-tls-key-file"] })
    }
}

/// # Errors
/// There is no slash in it.
fn secret(text: &str) -> Result<(String, String), String> {
    let (namespace, name) = text.split_once('/').ok_or("give it as NAMESPACE/NAME")?;
    Ok((namespace.to_owned(), name.to_owned()))
}

/// # Errors
/// It is no duration, or out of bounds.
fn life(text: &str) -> Result<Duration, String> {
    let life = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if limits::CERTIFICATE_LIFE.contains(&life) {
        Ok(life)
    } else {
        Err("must be from 10s to 3650 days".to_owned())
    }
}
