//! Connections on which the controller proves who it is.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::controller::unknown::Unknown;

/// Lets the server on the other side of `stream` prove that it is `host`. The authorities are read anew each time, since
/// they are replaced like other files of a volume, and connections are rare.
///
/// # Errors
/// It does not, or there are no authorities to trust.
pub async fn secure(
    stream: TcpStream,
    host: &str,
    ca_file: Option<&Path>,
) -> Result<TlsStream<TcpStream>, Unknown> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Unknown::Tls(format!("{host:?} is no name that a certificate could have")))?;
    let connector = TlsConnector::from(Arc::new(config(ca_file)?));
    connector.connect(name, stream).await.map_err(|error| explain(&error, host, ca_file))
}

fn config(ca_file: Option<&Path>) -> Result<ClientConfig, Unknown> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => of_the_container()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Unknown::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, Unknown> {
    let wrong = |problem: String| Unknown::Authorities { path: path.into(), problem };
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
fn of_the_container() -> Result<RootCertStore, Unknown> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        let problem = "the container's image has no certificate authorities; set nodeStateServerCAFile";
        return Err(Unknown::Tls(problem.to_owned()));
    }
    Ok(roots)
}

fn explain(error: &io::Error, host: &str, ca_file: Option<&Path>) -> Unknown {
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let trusted =
        ca_file.map_or_else(|| "the container's image".to_owned(), |path| path.display().to_string());
    match inner {
        None => Unknown::Unreachable(error.to_string()),
        // A bad signature is what an authority's successor of the same name makes.
        Some(InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            Unknown::Tls(format!(
                "its certificate is of no authority in {trusted}; nodeStateServerCAFile must have the one that issued it"
            ))
        }
        Some(InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Unknown::Tls(format!(
            "its certificate is not for {host}; nodeStateServerURL must have a name that is in it"
        )),
        Some(InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            Unknown::Tls("its certificate has expired; is the controller's Secret renewed?".to_owned())
        }
        Some(InvalidMessage(_)) => Unknown::Tls(
            "it does not speak TLS; is nodeStateServerURL one of http, or is the controller to serve TLS?"
                .to_owned(),
        ),
        Some(other) => Unknown::Tls(other.to_string()),
    }
}
