//! Speaks HTTP/1.1 to a bucket, over TLS where its address says so, and keeps connections for the next request.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::base::limits::{CONNECT_LIMIT, CONNECTIONS_KEPT, KEPT_CONNECTION_LIFE};
use crate::base::panics::locked;
use crate::base::trust;

/// Makes clients.
#[derive(Debug, Clone)]
pub struct Connector(Option<Arc<ClientConfig>>);

impl Connector {
    /// Those that believe the authorities in this file, or those of the container's image. Without any, they only speak without TLS.
    ///
    /// # Errors
    /// The file has none.
    pub fn new(authorities: Option<&Path>) -> io::Result<Self> {
        match trust::client_config(authorities) {
            Err(trust::TrustError::Nobody) => Ok(Self(None)),
            config => Ok(Self(Some(Arc::new(config.map_err(io::Error::other)?)))),
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client { tls: self.0.clone(), kept: Mutex::default() }))
    }
}

/// A connection, of what server it is, and since when nobody needs it.
type Kept = (Server, SendRequest<HttpRequestBody>, Instant);

/// Scheme and authority.
type Server = (String, String);

/// Asks.
#[derive(Debug)]
struct Client {
    tls: Option<Arc<ClientConfig>>,
    kept: Mutex<Vec<Kept>>,
}

/// What hyper reads from and writes to.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut head, body) = request.into_parts();
        let server = server(&head.uri)?;
        if !head.headers.contains_key(HOST) {
            head.headers.insert(HOST, HeaderValue::from_str(&server.1).map_err(failed)?);
        }
        head.uri = head.uri.path_and_query().map_or_else(Uri::default, |path| Uri::from(path.clone()));
        let mut connection = match self.idle(&server) {
            Some(kept) => kept,
            None => self.connect(&server).await?,
        };
        let answer = connection.send_request(HttpRequest::from_parts(head, body)).await.map_err(told)?;
        let (mut head, body) = answer.into_parts();
        // All of it is taken before the connection is given to somebody else: what is asked for is bounded.
        let body = body.collect().await.map_err(told)?.to_bytes();
        self.keep(server, connection);
        if head.status == StatusCode::NOT_FOUND && !is_of_the_store(&body) {
            // What stands before the store, while it cannot be reached, knows nothing of objects.
            head.status = StatusCode::BAD_GATEWAY;
        }
        Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body)))
    }
}

impl Client {
    fn idle(&self, server: &Server) -> Option<SendRequest<HttpRequestBody>> {
        let mut kept = locked(&self.kept);
        kept.retain(|(_, connection, since)| connection.is_ready() && since.elapsed() < KEPT_CONNECTION_LIFE);
        let found = kept.iter().rposition(|(other, _, _)| other == server)?;
        Some(kept.remove(found).1)
    }

    fn keep(&self, server: Server, connection: SendRequest<HttpRequestBody>) {
        let mut kept = locked(&self.kept);
        if kept.len() < CONNECTIONS_KEPT {
            kept.push((server, connection, Instant::now()));
        }
    }

    async fn connect(&self, server: &Server) -> Result<SendRequest<HttpRequestBody>, HttpError> {
        let io = TokioIo::new(self.stream(server).await.map_err(unreachable)?);
        let (send, connection) = handshake(io).await.map_err(told)?;
        // What ends the connection is told to who waits for the answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(send)
    }

    async fn stream(&self, (scheme, authority): &Server) -> io::Result<Box<dyn Stream>> {
        let authority: hyper::http::uri::Authority = authority.parse().map_err(io::Error::other)?;
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let connected = timeout(CONNECT_LIMIT, TcpStream::connect((host, port))).await;
        let tcp = connected.map_err(|_| io::Error::other(format!("{host}:{port} does not answer")))??;
        tcp.set_nodelay(true)?;
        if scheme != "https" {
            return Ok(Box::new(tcp));
        }
        let config = self.tls.clone().ok_or_else(|| io::Error::other(trust::TrustError::Nobody))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config).connect(name, tcp).await?))
    }
}

/// Whether a store says that an object is not there (S3 and Azure call it so); else nothing is known of it.
fn is_of_the_store(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    ["<Code>NoSuchKey<", "<Code>BlobNotFound<"].iter().any(|code| text.contains(code))
}

fn server(uri: &Uri) -> Result<Server, HttpError> {
    let part =
        |part: Option<&str>| part.map(str::to_owned).ok_or_else(|| failed(io::Error::other("no address")));
    Ok((part(uri.scheme_str())?, part(uri.authority().map(|authority| authority.as_str()))?))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

fn unreachable(error: io::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Connect, error)
}

/// A connection that ended in between says nothing of the request.
fn told(error: hyper::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error)
}
