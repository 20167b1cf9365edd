//! Why a controller does not answer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::{StatusCode, Uri};
use thiserror::Error;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, pem};

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
