//! By whom a controller's certificate has to be issued.

use std::path::Path;
use std::sync::Arc;

use axum::http::Uri;
use axum::http::uri::Scheme;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::error::CheckError;

/// How a connection is made.
pub enum Trust {
    /// In clear text.
    ClearText,
    /// By a certificate that these have issued.
    Issuers(Arc<ClientConfig>),
    /// Nobody says by whom a certificate should be issued.
    Unknown,
}

/// How to connect to what is asked, whose certificate has to be issued by one of the file.
///
/// # Errors
/// The URL is none of a controller, or the file has no certificate that somebody can be checked by.
pub fn trust(url: &Uri, ca_file: Option<&Path>) -> Result<Trust, CheckError> {
    match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => Ok(Trust::ClearText),
        Some(scheme) if *scheme == Scheme::HTTPS => match ca_file {
            Some(path) if path.exists() => Ok(Trust::Issuers(trusting(path)?)),
            _ => Ok(Trust::Unknown),
        },
        _ => Err(CheckError::Url(url.clone())),
    }
}

fn trusting(path: &Path) -> Result<Arc<ClientConfig>, CheckError> {
    let wrong = |error| CheckError::Ca(path.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(wrong)? {
        roots.add(certificate.map_err(wrong)?)?;
    }
    if roots.is_empty() {
        return Err(wrong(pem::Error::NoItemsFound));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}
