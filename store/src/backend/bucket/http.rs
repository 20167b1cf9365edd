//! Speaks HTTP/1.1 to a bucket, over TLS where its address says so, and keeps connections for the next request.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue, RETRY_AFTER};
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
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::base::limits::{
    ANSWER_MAX_BYTES, CONNECT_LIMIT, CONNECTIONS_KEPT, KEPT_CONNECTION_LIFE, RETRY_AFTER_MAX,
};
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
        Ok(HttpClient::new(Client::new(self.0.clone())))
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
    /// Before this moment it was told not to ask again.
    not_before: Mutex<Option<Instant>>,
}

/// What hyper reads from and writes to.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.wait_as_told().await;
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
        // All of it is taken before the connection is given to somebody else.
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await.map_err(cut)?.to_bytes();
        self.keep(server, connection);
        self.heed(&head);
        if head.status == StatusCode::NOT_FOUND && !is_of_the_store(&body) {
            // What stands before the store, while it cannot be reached, knows nothing of objects.
            head.status = StatusCode::BAD_GATEWAY;
        }
        Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body)))
    }
}

impl Client {
    fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        Self { tls, kept: Mutex::default(), not_before: Mutex::default() }
    }

    /// A server that has too much to do says when to come again (RFC 9110, Retry-After); only in seconds, as stores do.
    fn heed(&self, head: &hyper::http::response::Parts) {
        let is_busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&head.status);
        let told = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(seconds) = told.filter(|_| is_busy) {
            *locked(&self.not_before) =
                Some(Instant::now() + Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        }
    }

    async fn wait_as_told(&self) {
        let until = *locked(&self.not_before);
        if let Some(left) = until.and_then(|until| until.checked_duration_since(Instant::now())) {
            sleep(left).await;
        }
    }

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

/// An answer that ended in between, or is larger than any that was asked for.
fn cut(error: Box<dyn std::error::Error + Send + Sync>) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use hyper::http::Request;

    use super::*;

    /// Asks a server that gives these answers, one for each connection; what came of each request.
    fn asked(answers: &[&str]) -> Vec<Result<StatusCode, HttpError>> {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/bucket/object", server.local_addr().unwrap());
        let (client, runtime) = (Client::new(None), tokio::runtime::Runtime::new().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                for answer in answers {
                    let (mut stream, _) = server.accept().unwrap();
                    let _ = stream.read(&mut [0; 4096]).unwrap();
                    // Who has read enough is gone.
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
            let request = || Request::get(&address).body(HttpRequestBody::empty()).unwrap();
            let ask = |_: &&str| runtime.block_on(client.call(request())).map(|answer| answer.status());
            answers.iter().map(ask).collect()
        })
    }

    #[test]
    fn a_server_that_says_when_to_come_again_is_left_alone_for_so_long() {
        let busy =
            "HTTP/1.1 503 Slow Down\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let well = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let began = Instant::now();
        let came: Vec<_> = asked(&[busy, well]).into_iter().map(Result::unwrap).collect();
        assert_eq!(came, [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK]);
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[test]
    fn an_answer_without_an_end_takes_no_more_than_so_much_memory() {
        let endless =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(ANSWER_MAX_BYTES + 1));
        assert!(asked(&[&endless])[0].is_err());
    }
}
