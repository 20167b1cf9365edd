//! One connection to one replica, kept from question to question.

use std::net::SocketAddr;

use crik_api::report::{MOVE_HEADER, POD_HEADER};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::request::Builder;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::base::limits;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::unknown::Unknown;
use crate::cluster::controller::{tls, token};

/// A connection on which one question is asked at a time.
pub struct Connection {
    send: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// What hyper reads from and writes to.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there, or it is not who it should be.
    pub async fn open(endpoint: &Endpoint, address: SocketAddr) -> Result<Self, Unknown> {
        let connecting = timeout(limits::CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let late = || format!("{address} did not take a connection within {:?}", limits::CONNECT_TIMEOUT);
        let tcp = connecting
            .map_err(|_| Unknown::Unreachable(late()))?
            .map_err(|error| Unknown::Unreachable(format!("{address}: {error}")))?;
        notice_death(&tcp);
        let stream: Box<dyn Stream> = if endpoint.is_secure() {
            let host = endpoint.host_and_port().0;
            Box::new(tls::secure(tcp, &host, endpoint.access.ca_file.as_deref()).await?)
        } else {
            Box::new(tcp)
        };
        let (send, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| explain(&error))?;
        // What ends the connection is told to who waits for the answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { send, driver })
    }

    /// Whether a question can still be asked on it.
    pub fn is_open(&self) -> bool {
        !self.send.is_closed()
    }

    /// Asks `question`, a path with its query; returns the head of the answer and its body.
    ///
    /// # Errors
    /// There is no answer, or nothing to ask with.
    pub async fn ask(
        &mut self,
        endpoint: &Endpoint,
        question: &str,
    ) -> Result<(Response<()>, Bytes), Unknown> {
        let mut request = with_access(Request::get(question), endpoint)?;
        if let Some(protection) = *endpoint.protection.borrow() {
            request = request.header(crik_api::PROTECTION_HEADER, protection.as_str());
        }
        if let Some((namespace, name)) = &endpoint.pod {
            request = request.header(POD_HEADER, format!("{namespace}/{name}"));
        }
        if let Some(asked) = endpoint.moves.newest() {
            request = request.header(MOVE_HEADER, asked);
        }
        self.exchange(request, Bytes::new()).await
    }

    /// Sends `body`, which is JSON, to `route`; returns the head of the answer and its body.
    ///
    /// # Errors
    /// There is no answer, or nothing to send with.
    pub async fn post(
        &mut self,
        endpoint: &Endpoint,
        route: &str,
        body: Bytes,
    ) -> Result<(Response<()>, Bytes), Unknown> {
        let request = with_access(Request::post(route), endpoint)?;
        self.exchange(request.header(header::CONTENT_TYPE, "application/json"), body).await
    }

    async fn exchange(&mut self, request: Builder, body: Bytes) -> Result<(Response<()>, Bytes), Unknown> {
        let request = request.body(Full::new(body)).map_err(|error| Unknown::Url(error.to_string()))?;
        let answer = self.send.send_request(request).await.map_err(|error| explain(&error))?;
        let (head, body) = answer.into_parts();
        let body =
            Limited::new(body, limits::ANSWER_MAX_BYTES).collect().await.map_err(|error| match error
                .downcast_ref::<hyper::Error>(
            ) {
                _ if error.is::<LengthLimitError>() => Unknown::Garbage("it is too long".to_owned()),
                Some(error) => explain(error),
                None => Unknown::Unreachable(error.to_string()),
            })?;
        Ok((Response::from_parts(head, ()), body.to_bytes()))
    }
}

/// With what every request has.
fn with_access(request: Builder, endpoint: &Endpoint) -> Result<Builder, Unknown> {
    let request = request
        .header(header::HOST, endpoint.authority())
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("crik/", env!("CARGO_PKG_VERSION")));
    Ok(match &endpoint.access.token_file {
        Some(path) => request.header(header::AUTHORIZATION, token::bearer(path)?),
        None => request,
    })
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A machine that has died says nothing on its connections. The kernel asks it now and then, without waking this process.
fn notice_death(tcp: &TcpStream) {
    let (idle, pause, probes) = limits::KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(pause).with_retries(probes);
    if let Err(error) = SockRef::from(tcp).set_tcp_keepalive(&keepalive) {
        tracing::debug!("a dead connection to the controller may go unnoticed: {error}");
    }
}

/// hyper's own message does not have the cause that a person can act on.
fn explain(error: &hyper::Error) -> Unknown {
    if error.is_parse() {
        return Unknown::Garbage(format!("{error}; is nodeStateServerURL to begin with https://?"));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Unknown::Unreachable(cause.to_string())
}
