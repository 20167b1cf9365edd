//! Proof that what the API server tells is not old.
//!
//! A watch, and each further one, is answered from the API server's cache, which goes on without etcd and grows old in silence:
//! nobody can write a Node meanwhile, no kubelet, drainer or person. Only a read without a resource version is answered
//! from etcd, or from the cache once that is known to be as new as etcd (kubernetes.io/docs/reference/using-api/api-concepts,
//! "Resource versions"; KEP-2340). So one is made ahead of each watch, the smallest that needs no right beyond the watch's.
//!
//! There may be several API servers behind one address, and the one that is read of may be well while the one that is watched is cut off.
//! So a read counts only if the watch after it went over the same connection. (By HTTP/1.1, which is what kube speaks, a connection is
//! taken by one request at a time, so there can be none beside the watch; which connection it was is told with each answer.)

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body as AnyBody, to_bytes};
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use hyper_util::client::legacy::connect::HttpInfo;
use kube::Client;
use kube::client::Body;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tower::service_fn;

use crate::base::watch_error::refusal;
use crate::base::{api_refusal, limits};

/// Names alone.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Its two ends.
type Connection = (SocketAddr, SocketAddr);

/// What came of one read.
#[derive(Debug)]
pub struct Proof {
    /// When it was asked for: what the API server tells was not older then.
    pub asked: Instant,
    /// Why there is none.
    pub answer: Result<(), String>,
}

/// What sends the requests of a watch, each with a proof.
#[derive(Clone)]
pub struct Prover {
    /// Sends them. It must not repeat what fails, and nobody else may use its connections.
    pub client: Client,
    /// Rings whenever the API server begins to answer well: a watch that was taken up again may have nothing new to tell for long.
    pub answered: Arc<Notify>,
    /// Where proofs go.
    pub proofs: mpsc::Sender<Proof>,
}

impl Prover {
    /// A client that does so.
    pub fn into_client(self) -> Client {
        let namespace = self.client.default_namespace().to_owned();
        let send = move |request| {
            let prover = self.clone();
            async move { prover.send(request).await }
        };
        Client::new(service_fn(send), namespace)
    }

    async fn send(self, request: Request<Body>) -> kube::Result<Response<Body>> {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let response = if is_watch { self.watch(request).await? } else { self.client.send(request).await? };
        if response.status().is_success() {
            self.answered.notify_one();
        }
        Ok(response)
    }

    /// An answer that comes over another connection is given up, which ends that connection, so that fewer are left to choose from.
    async fn watch(&self, request: Request<Body>) -> kube::Result<Response<Body>> {
        let (head, _) = request.into_parts();
        for _ in 0..limits::PROOF_TRIES {
            let asked = Instant::now();
            let read = timeout(limits::PROOF_TIMEOUT, self.read(&head)).await;
            let late = || format!("it does not answer a consistent read within {:?}", limits::PROOF_TIMEOUT);
            let read = read
                .map_err(|_| late())
                .and_then(|read| read.map_err(|error| refusal("list", "nodes", &error)));
            let response = self.client.send(again(&head)).await?;
            if read.as_ref().is_ok_and(|by| *by != connection(&response)) {
                continue;
            }
            if response.status().is_success() {
                let _ = self.proofs.send(Proof { asked, answer: read.map(drop) }).await;
            }
            return Ok(response);
        }
        self.client.send(again(&head)).await
    }

    /// Reads one of what is to be watched, and tells by which connection.
    async fn read(&self, watch: &Parts) -> kube::Result<Option<Connection>> {
        let request = Request::get(format!("{}?limit=1", watch.uri.path())).header(ACCEPT, METADATA);
        let answer = self.client.send(request.body(Body::empty()).map_err(kube::Error::HttpError)?).await?;
        let (by, status) = (connection(&answer), answer.status());
        // To its end, or the connection is not free for the watch.
        let body = to_bytes(AnyBody::new(answer.into_body()), limits::OBJECT_MAX_BYTES).await;
        let body = body.map_err(|error| kube::Error::Service(error.into()))?;
        if status.is_success() { Ok(by) } else { Err(api_refusal::read(status, &body)) }
    }
}

fn again(head: &Parts) -> Request<Body> {
    Request::from_parts(head.clone(), Body::empty())
}

/// By which connection an answer has come.
fn connection<B>(response: &Response<B>) -> Option<Connection> {
    let of: &HttpInfo = response.extensions().get()?;
    Some((of.local_addr(), of.remote_addr()))
}
