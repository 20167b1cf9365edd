//! A certificate and its key, in PEM files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// Where they are.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate, followed by those that signed it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The flags by which they were given.
    pub flags: [&'static str; 2],
}

/// What is in them.
#[derive(PartialEq, Eq)]
pub struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Why they cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}, given by {flag}: {source}")]
    Read {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file has not what it should.
    #[error("{path}, given by {flag}, has no {what} in PEM: {source}")]
    Content {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
        /// Why not.
        source: pem::Error,
    },
    /// Certificate and key are no pair.
    #[error("the key in {key} does not fit the certificate in {certificate}: {source}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

impl Files {
    /// Reads both.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(&self) -> Result<Contents, TlsError> {
        let read = |flag, path: &Path| {
            fs::read(path).map_err(|source| TlsError::Read { flag, path: path.into(), source })
        };
        Ok(Contents {
            certificate: read(self.flags[0], &self.certificate)?,
            key: read(self.flags[1], &self.key)?,
        })
    }
}

impl Contents {
    /// What a server needs of them. `files` is for errors.
    ///
    /// # Errors
    /// They are no certificate and its key.
    pub fn config(&self, files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
        let (chain, key) = (self.chain(files)?, self.private_key(files)?);
        let pair = |source| TlsError::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        };
        serving(chain, key).map_err(pair)
    }

    fn chain(&self, files: &Files) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let content = |source| TlsError::Content {
            flag: files.flags[0],
            path: files.certificate.clone(),
            what: "certificate",
            source,
        };
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<_, _>>().map_err(content)?;
        if chain.is_empty() { Err(content(pem::Error::NoItemsFound)) } else { Ok(chain) }
    }

    fn private_key(&self, files: &Files) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| TlsError::Content {
            flag: files.flags[1],
            path: files.key.clone(),
            what: "private key",
            source,
        })
    }
}

/// A server with this certificate.
///
/// # Errors
/// The key is another one's.
pub fn serving(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
