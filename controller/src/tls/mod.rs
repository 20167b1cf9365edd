//! HTTPS, from files that are re-read when they change. May import `base`.

mod files;
mod follow;

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

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

    /// What accepts the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.borrow()))
    }
}
