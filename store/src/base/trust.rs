//! Whom to believe that a server is who it says it is.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// There is nobody to believe.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file does not tell.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The container's image does not tell.
    #[error("the container's image has no certificate authorities")]
    Nobody,
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Believes the authorities in `file`, or those of the container's image.
///
/// # Errors
/// There are none.
pub fn client_config(file: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let roots = file.map_or_else(of_the_container, from_file)?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, TrustError> {
    let wrong = |problem: String| TrustError::File { path: path.into(), problem };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map_err(|error| error.to_string());
        added.and_then(|one| roots.add(one).map_err(|error| error.to_string())).map_err(wrong)?;
    }
    if roots.is_empty() {
        return Err(wrong("it has no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(roots)
}

/// Few of an image's own authorities are enough; one that cannot be read is no reason to trust none.
fn of_the_container() -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(TrustError::Nobody) } else { Ok(roots) }
}
