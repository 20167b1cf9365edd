//! The part of the command line that is about the webhook.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::tls::Files;

/// How the API server is answered.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address of the admission webhook, which puts pods under crik that have the label crik.dev/inject; none without it.
    #[arg(long, value_name = "ADDRESS", requires = "inject_file", env = "CRIK_WEBHOOK_LISTEN")]
    pub webhook_listen: Option<SocketAddr>,
    /// YAML file of what such pods are given: agentImage, imagePullPolicy, volumeClaim, tokenAudience, and as defaults keys of the
    /// agent's configuration.
    #[arg(long, value_name = "FILE", requires = "webhook_listen", env = "CRIK_INJECT_FILE")]
    pub inject_file: Option<PathBuf>,
    /// PEM file of the webhook's certificate, followed by those that signed it. Re-read when it changes.
    #[arg(long, value_name = "FILE", requires = "webhook_tls_key_file", env = "CRIK_WEBHOOK_TLS_CERT_FILE")]
    pub webhook_tls_cert_file: Option<PathBuf>,
    /// PEM file of that certificate's private key. Re-read when it changes.
    #[arg(long, value_name = "FILE", requires = "webhook_tls_cert_file", env = "CRIK_WEBHOOK_TLS_KEY_FILE")]
    pub webhook_tls_key_file: Option<PathBuf>,
}

impl Options {
    /// The files of its certificate, if they are given.
    pub fn files(&self) -> Option<Files> {
        let (certificate, key) = self.webhook_tls_cert_file.clone().zip(self.webhook_tls_key_file.clone())?;
        Some(Files { certificate, key, flags: ["--webhook-tls-cert-file", "--webhook-tls-key-file"] })
    }
}
