//! The way to the API server.

use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use kube::config::{Config, InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;
use tokio::sync::{Notify, mpsc};

use super::proof::{Proof, Prover};
use super::proxy;
use crate::base::limits;

/// Why there is no way to the API server.
#[derive(Debug, Error)]
pub enum ApiServerError {
    /// The kubeconfig that was asked for cannot be used.
    #[error("the kubeconfig cannot be used; see --kubeconfig and --context")]
    Kubeconfig(#[from] KubeconfigError),
    /// Nothing was asked for, and nothing was found.
    #[error("run in a pod with a ServiceAccount, set KUBECONFIG, or give --kubeconfig")]
    Nowhere(#[from] InferConfigError),
    /// What was found cannot be used.
    #[error("the addresses or credentials found cannot be used")]
    Client(#[from] kube::Error),
}

/// Where the API server is and who asks: by `kubeconfig` if it is given; otherwise as kubectl finds it, or as a pod does.
///
/// # Errors
/// None of them is there, or one is wrong.
pub async fn config(kubeconfig: Option<&PathBuf>, context: Option<&str>) -> Result<Config, ApiServerError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut config = match kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None if context.is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::infer().await?,
    };
    config.proxy_url = proxy::to(&config.cluster_url, config.proxy_url, |name| std::env::var(name).ok());
    config.connect_timeout = Some(limits::API_CONNECT);
    config.read_timeout = Some(limits::API_SILENCE);
    config.write_timeout = Some(limits::API_SILENCE);
    // Otherwise the time in which a connection was not needed counts.
    config.reset_reader_on_write = true;
    Ok(config)
}

/// What the API server is watched by.
pub struct Watching {
    /// For the watch.
    pub client: Client,
    /// Rings whenever the API server begins to answer that well.
    pub answered: Arc<Notify>,
    /// What proves that what it tells is not old.
    pub proofs: mpsc::Receiver<Proof>,
}

impl Watching {
    /// By this way to the API server.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(mut config: Config) -> Result<Self, ApiServerError> {
        // Retrying inside the client would hide that the API server is away.
        config.default_retry = false;
        let (answered, (prover, proofs)) = (Arc::new(Notify::new()), mpsc::channel(1));
        let prover =
            Prover { client: Client::try_from(config)?, answered: Arc::clone(&answered), proofs: prover };
        Ok(Self { client: prover.into_client(), answered, proofs })
    }
}
