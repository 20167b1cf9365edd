//! `crik-controller check URL`: whether a controller answers where its agents ask. Its image has no shell that could do that.
//! May import `base`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::HOST;
use axum::http::uri::Scheme;
use axum::http::{Request, StatusCode, Uri};
use clap::Args;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::base::causes::with_causes;
use crate::base::limits;

/// What is asked, and how.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where agents ask, as in their nodeStateServerURL, for example http://crik-controller.crik:9376.
    #[arg(value_name = "URL")]
    url: Uri,
    /// PEM file of the certificate of who issued the controller's. Without it, and if there is no such file, a controller
    /// with TLS is only seen to take connections.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Why a controller does not answer.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The URL is none of a controller.
    #[error("{0} is no URL of a controller, such as http://crik-controller.crik:9376")]
    Url(Uri),
    /// Its name has no address: no replica is ready, or it is wrong.
    #[error("{0} has no address; is a replica ready, and the name right?")]
    NoAddress(String),
    /// The name cannot be looked up.
    #[error("{0} cannot be looked up")]
    Name(String, #[source] io::Error),
    /// There is no connection, or it breaks off.
    #[error("{0} takes no connection")]
    Connect(SocketAddr, #[source] io::Error),
    /// There is no answer in time.
    #[error("{0} does not answer in time")]
    Late(SocketAddr),
    /// What is answered is no HTTP.
    #[error("{0} answers no HTTP")]
    Http(SocketAddr, #[source] hyper::Error),
    /// Another answer than 200.
    #[error("{0} answers {1}")]
    Status(SocketAddr, StatusCode),
    /// The file given by `--ca-file` has no certificate.
    #[error("{0}, given by --ca-file, has no certificate in PEM")]
    Ca(PathBuf, #[source] pem::Error),
    /// It has one that nobody can be checked by.
    #[error("the certificate or the name cannot be used")]
    Tls(#[from] rustls::Error),
    /// The host is no name that a certificate can have.
    #[error("the certificate or the name cannot be used")]
    Host(#[from] InvalidDnsNameError),
}

/// Asks every replica until all are ready; then tells of each.
///
/// # Errors
/// One is not ready for [`limits::CHECK_PATIENCE`]; the last reason.
pub async fn run(options: &Options) -> Result<Vec<String>, CheckError> {
    let end = Instant::now() + limits::CHECK_PATIENCE;
    loop {
        match every_replica(options).await {
            // A wrong URL or file stays wrong.
            Err(error @ (CheckError::Url(_) | CheckError::Ca(..) | CheckError::Host(_))) => {
                return Err(error);
            }
            Err(error) if Instant::now() < end => {
                tracing::info!("asking again: {}", with_causes(&error));
                sleep(limits::CHECK_RETRY).await;
            }
            done => return done,
        }
    }
}

async fn every_replica(options: &Options) -> Result<Vec<String>, CheckError> {
    let url = &options.url;
    let host = url.host().ok_or_else(|| CheckError::Url(url.clone()))?;
    let tls = tls(options)?;
    let port = url.port_u16().unwrap_or(crik_api::DEFAULT_PORT);
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    let bare = host.trim_matches(['[', ']']);
    let found = lookup_host((bare, port)).await.map_err(|why| CheckError::Name(host.to_owned(), why))?;
    let mut told = Vec::new();
    for address in found {
        let asked = timeout(limits::CHECK_ANSWER, ask(address, bare, &tls));
        told.push(asked.await.map_err(|_| CheckError::Late(address))??);
    }
    if told.is_empty() { Err(CheckError::NoAddress(host.to_owned())) } else { Ok(told) }
}

/// How a connection is made.
enum Tls {
    /// In clear text.
    None,
    /// By a certificate that these have issued.
    By(Arc<ClientConfig>),
    /// Nobody says by whom a certificate should be issued.
    Unknown,
}

fn tls(options: &Options) -> Result<Tls, CheckError> {
    match options.url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => Ok(Tls::None),
        Some(scheme) if *scheme == Scheme::HTTPS => match &options.ca_file {
            Some(path) if path.exists() => Ok(Tls::By(trusting(path)?)),
            _ => Ok(Tls::Unknown),
        },
        _ => Err(CheckError::Url(options.url.clone())),
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

async fn ask(address: SocketAddr, host: &str, tls: &Tls) -> Result<String, CheckError> {
    let refused = |error| CheckError::Connect(address, error);
    let stream = TcpStream::connect(address).await.map_err(refused)?;
    match tls {
        Tls::None => is_ready(address, host, stream).await,
        Tls::By(config) => {
            let name = ServerName::try_from(host.to_owned())?;
            let connected = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
            is_ready(address, host, connected.map_err(refused)?).await
        }
        Tls::Unknown => Ok(format!("{address} takes connections; with --ca-file more can be asked of it")),
    }
}

async fn is_ready<Stream>(address: SocketAddr, host: &str, stream: Stream) -> Result<String, CheckError>
where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error| CheckError::Http(address, error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/readyz");
    if let Ok(host) = host.try_into() {
        request.headers_mut().insert(HOST, host);
    }
    let status = sender.send_request(request).await.map_err(broken)?.status();
    connection.abort();
    if status == StatusCode::OK {
        Ok(format!("{address} is ready"))
    } else {
        Err(CheckError::Status(address, status))
    }
}
