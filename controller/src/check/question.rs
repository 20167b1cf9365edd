//! One question to one replica.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::HOST;
use axum::http::{Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::error::CheckError;
use super::trust::Trust;

/// Whether the replica at this address is ready, in words.
///
/// # Errors
/// It is not, or does not say so.
pub async fn ask(address: SocketAddr, host: &str, trust: &Trust) -> Result<String, CheckError> {
    let refused = |error| CheckError::Connect(address, error);
    let stream = TcpStream::connect(address).await.map_err(refused)?;
    match trust {
        Trust::ClearText => is_ready(address, host, stream).await,
        Trust::Issuers(config) => {
            let name = ServerName::try_from(host.to_owned())?;
            let connected = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
            is_ready(address, host, connected.map_err(refused)?).await
        }
        Trust::Unknown => Ok(format!("{address} takes connections; with --ca-file more can be asked of it")),
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
