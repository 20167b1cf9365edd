//! One request to a registry: over TLS unless the settings say otherwise, to an address that may be asked, with an answer that is
//! bounded, and with few redirects, which keep to all of that.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::{fs, io};

use anyhow::{Context as _, Result, ensure};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::addresses::{Any, Forbidden, Guarded, check_literal};
use super::error::LookupError;
use super::host::Host;
use crate::base::causes::with_causes;
use crate::base::limits;

type Connections = Client<HttpsConnector<HttpConnector<Guarded>>, Empty<Bytes>>;

/// Asks registries.
pub struct Transport {
    /// Of all that are not named.
    usual: Connections,
    named: HashMap<String, Named>,
}

/// A registry that is reached in a way of its own.
struct Named {
    connections: Connections,
    plain_http: bool,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The media types that are understood.
    pub accept: &'static str,
    /// Who asks.
    pub authorization: Option<&'a HeaderValue>,
    /// How many bytes there may be.
    pub most: usize,
}

/// What was answered.
pub struct Answer {
    /// Whether it is what was asked for.
    pub status: StatusCode,
    /// What is asked for first, of who asks. None of another authority than was asked.
    pub challenge: Option<String>,
    /// What it is.
    pub body: Bytes,
}

impl Transport {
    /// # Errors
    /// The file of an authority cannot be used.
    pub fn new(hosts: &[Host]) -> Result<Self> {
        let usual = connections(roots_of_the_system(), Any(false))?;
        let named = hosts.iter().map(|host| anyhow::Ok((host.host.clone(), Named::new(host)?)));
        Ok(Self { usual, named: named.collect::<Result<_>>()? })
    }

    /// Where a path of a registry is.
    ///
    /// # Errors
    /// The path is none.
    pub fn uri(&self, registry: &str, path: &str) -> Result<Uri, LookupError> {
        let scheme = if self.is_plain(registry) { "http" } else { "https" };
        format!("{scheme}://{registry}{path}").parse().map_err(|_| LookupError::Name)
    }

    fn is_plain(&self, authority: &str) -> bool {
        self.named.get(authority).is_some_and(|named| named.plain_http)
    }

    /// Asks for what is there, and where that leads.
    ///
    /// # Errors
    /// There is no answer, or none that may be read.
    pub async fn get(&self, from: &Uri, asked: Asked<'_>) -> Result<Answer, LookupError> {
        let (mut uri, mut asked) = (from.clone(), asked);
        for _ in 0..=limits::REGISTRY_REDIRECTS {
            let response = self.request(&uri, asked).await?;
            let Some(next) = leads_to(&uri, &response) else {
                let mut answer = answer(response, asked.most).await?;
                // What is asked for elsewhere is no question of the registry's own, whose password is nobody else's business either.
                answer.challenge = answer.challenge.filter(|_| uri.authority() == from.authority());
                return Ok(answer);
            };
            let next = next?;
            // Who asks is nobody else's business.
            if next.authority() != uri.authority() {
                asked.authorization = None;
            }
            uri = next;
        }
        Err(LookupError::Redirects)
    }

    async fn request(&self, uri: &Uri, asked: Asked<'_>) -> Result<Response<Incoming>, LookupError> {
        let authority = uri.authority().ok_or(LookupError::Plain)?.as_str();
        let named = self.named.get(authority);
        if uri.scheme_str() != Some("https") && !self.is_plain(authority) {
            return Err(LookupError::Plain);
        }
        if named.is_none() {
            check_literal(uri.host().unwrap_or_default())?;
        }
        let mut request = Request::get(uri).header(header::ACCEPT, asked.accept);
        request = request.header(header::USER_AGENT, concat!("crik-controller/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = asked.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::new()).map_err(|_| LookupError::Name)?;
        let connections = named.map_or(&self.usual, |named| &named.connections);
        connections.request(request).await.map_err(|error| unreachable(&error))
    }
}

impl Named {
    fn new(host: &Host) -> Result<Self> {
        ensure!(
            !host.host.contains('/'),
            "registries: {:?} must be a host, such as registry.example:5000",
            host.host
        );
        let roots = match &host.ca_file {
            None => roots_of_the_system(),
            Some(file) => {
                let pem =
                    fs::read(file).with_context(|| format!("registries: cannot read {}", file.display()))?;
                roots_of(&pem)
                    .with_context(|| format!("registries: {} is no certificate in PEM", file.display()))?
            }
        };
        Ok(Self { connections: connections(roots, Any(true))?, plain_http: host.plain_http })
    }
}

/// What cannot be read is left out: most of them are good for anything.
fn roots_of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn roots_of(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate?)?;
    }
    ensure!(!roots.is_empty(), "there is none in it");
    Ok(roots)
}

/// Each is used for one image's few requests, and is soon closed.
fn connections(roots: RootCertStore, any: Any) -> Result<Connections> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    let mut tcp = HttpConnector::new_with_resolver(Guarded::new(any));
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(limits::REGISTRY_IDLE)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1)
        .build(connector.wrap_connector(tcp)))
}

/// Where an answer leads, if it is no answer itself.
fn leads_to(from: &Uri, response: &Response<Incoming>) -> Option<Result<Uri, LookupError>> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let whole = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}://{}{location}", from.scheme_str()?, from.authority()?)
    } else {
        location.to_owned()
    };
    Some(whole.parse().map_err(|_| LookupError::Malformed("redirect")))
}

async fn answer(response: Response<Incoming>, most: usize) -> Result<Answer, LookupError> {
    let status = response.status();
    let challenge = response.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = Limited::new(response.into_body(), most).collect().await;
    let body = body.map_err(|error| match error.downcast_ref::<hyper::Error>() {
        Some(error) => unreachable(error),
        None => LookupError::TooLarge(most),
    })?;
    Ok(Answer { status, challenge, body: body.to_bytes() })
}

fn unreachable(error: &(dyn Error + 'static)) -> LookupError {
    let causes = || std::iter::successors(Some(error), |&cause| cause.source());
    let forbidden = causes().find_map(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.and_then(|inner| inner.downcast_ref::<Forbidden>()).or_else(|| cause.downcast_ref())
    });
    match forbidden {
        Some(Forbidden(address)) => LookupError::Forbidden(*address),
        None => LookupError::Unreachable(innermost(&with_causes(error))),
    }
}

/// What says most, of a list of causes.
fn innermost(causes: &str) -> String {
    let last = causes.rsplit(": ").next().unwrap_or(causes);
    last.chars().take(limits::LOOKUP_WHY_MAX).collect()
}
