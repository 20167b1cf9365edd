//! HTTPS, from files that are re-read when they change. May import `base`.

mod files;
mod follow;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use files::Files;

/// The certificate as it is now.
#[derive(Clone)]
pub struct Tls {
    config: watch::Receiver<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files, and follows them from now on.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn start(files: Files) -> Result<Self> {
        let contents = files.read()?;
        let (sender, config) = watch::channel(contents.config(&files)?);
        tokio::spawn(follow::run(files, contents, sender));
        Ok(Self { config })
    }

    /// Takes up whatever this tells.
    pub fn following(config: watch::Receiver<Arc<ServerConfig>>) -> Self {
        Self { config }
    }

    /// What accepts the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.borrow()))
    }
}

/// What a server needs of a certificate, followed by those that signed it, and its key, both as PEM.
///
/// # Errors
/// They are none, or no pair.
pub fn server_config(certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(key).context("there is no private key in PEM")?;
    Ok(files::serving(chain.context("there is no certificate in PEM")?, key)?)
}
