//! Connections on which the controller proves who it is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::trust::{TrustError, client_config};
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
    client_config(ca_file).map_err(|error| match error {
        TrustError::File { path, problem } => Unknown::Authorities { path, problem },
        TrustError::Nobody => Unknown::Tls(format!("{error}; set nodeStateServerCAFile")),
        TrustError::Tls(error) => Unknown::Tls(error.to_string()),
    })
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
