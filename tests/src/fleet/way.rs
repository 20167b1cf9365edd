//! How the connections of many clients come to a server: from several addresses, with TLS or without.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What is spoken on.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A way to a server on the loopback.
#[derive(Clone)]
pub struct Way {
    server: SocketAddr,
    tls: Option<TlsConnector>,
    /// How many come from one address.
    of_each: usize,
    buffer: Option<u32>,
}

impl Way {
    /// To this port, all from one address.
    pub fn to(port: u16) -> Self {
        Self { server: (Ipv4Addr::LOCALHOST, port).into(), tls: None, of_each: usize::MAX, buffer: None }
    }

    /// From addresses of which each has so many.
    #[must_use]
    pub fn of_each(self, of_each: usize) -> Self {
        Self { of_each, ..self }
    }

    /// For clients that take little before they read it.
    #[must_use]
    pub fn buffer(self, bytes: u32) -> Self {
        Self { buffer: Some(bytes), ..self }
    }

    /// With TLS, of a server that this authority has signed; each time all of it, as who never was there.
    ///
    /// # Errors
    /// There is no such authority.
    pub fn tls(self, authority: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority)?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let mut config = builder
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { tls: Some(Arc::new(config).into()), ..self })
    }

    /// Connects the client of this number.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn connect(&self, client: usize) -> Result<Box<dyn Stream>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let [.., third, fourth] = u32::try_from(client / self.of_each + 1)?.to_be_bytes();
        socket.bind((Ipv4Addr::new(127, 0, third, fourth), 0).into())?;
        let stream = socket.connect(self.server).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::IpAddress(self.server.ip().into());
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// Asks for a path on a connection of the client's own.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn ask(&self, client: usize, path: &str) -> Result<Box<dyn Stream>> {
        let mut stream = self.connect(client).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }

    /// The body of the answer to a GET.
    ///
    /// # Errors
    /// There is none, or it is another than 200.
    pub async fn get(&self, path: &str) -> Result<String> {
        let mut answer = String::new();
        self.ask(0, path).await?.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}: {body}");
        Ok(body.to_owned())
    }
}
