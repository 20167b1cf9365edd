//! Questions to one replica, one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crik_api::{NodeStatus, PodStatus};
use hyper::body::Bytes;
use hyper::{Response, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::cluster::controller::connection::Connection;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::unknown::{Refusal, Unknown};

/// What one replica is asked and has answered.
pub struct Replica {
    endpoint: Arc<Endpoint>,
    address: SocketAddr,
    connection: Option<Connection>,
    /// Its version of the last answer, if that was one. Each replica counts for itself.
    version: Option<String>,
    /// Whether it has closed the connection behind its last answer.
    closing: bool,
    /// Whether that has told of a move.
    told_move: bool,
}

impl Replica {
    /// To the replica at `address`.
    pub fn new(endpoint: &Arc<Endpoint>, address: SocketAddr) -> Self {
        let endpoint = Arc::clone(endpoint);
        Self { endpoint, address, connection: None, version: None, closing: false, told_move: false }
    }

    /// Whether it closes connections behind its answers, as one does that is to stop.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether its last answer has told of a move that nobody had told of before.
    pub fn has_told_move(&self) -> bool {
        self.told_move
    }

    /// Whether the next question is whether there is news, which may take long to answer.
    pub fn is_long(&self) -> bool {
        self.version.is_some()
    }

    /// The node's status now; or, once that is known, its first change if that comes within `wait`. An answer that does
    /// not come within `patience` is none.
    ///
    /// # Errors
    /// The status is not known, and what was known before is forgotten.
    pub async fn ask(&mut self, wait: Duration, patience: Duration) -> Result<NodeStatus, Unknown> {
        let late = || Unknown::Unreachable(format!("{} did not answer within {patience:?}", self.address));
        let late = late();
        let question = self.endpoint.question(self.version.as_deref().map(|version| (version, wait)));
        let answer = timeout(patience, self.exchange(&question)).await.unwrap_or(Err(late));
        let answer = answer.and_then(|status: NodeStatus| self.of_our_node(status));
        match &answer {
            Ok(status) => self.version = Some(status.version.clone()),
            Err(_) => (self.version, self.connection) = (None, None),
        }
        answer
    }

    /// Who ends a pod, as it is now. An answer that does not come within `patience` is none.
    ///
    /// # Errors
    /// It is not known.
    pub async fn ask_pod(
        &mut self,
        namespace: &str,
        name: &str,
        patience: Duration,
    ) -> Result<PodStatus, Unknown> {
        let late = Unknown::Unreachable(format!("{} did not answer within {patience:?}", self.address));
        let question = self.endpoint.pod_question(namespace, name);
        let answer = timeout(patience, self.exchange(&question)).await.unwrap_or(Err(late));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn exchange<Answer: DeserializeOwned>(&mut self, question: &str) -> Result<Answer, Unknown> {
        let kept = self.connection.take().filter(Connection::is_open);
        let mut connection = match kept {
            Some(kept) => kept,
            None => Connection::open(&self.endpoint, self.address).await?,
        };
        let (head, body) = connection.ask(&self.endpoint, question).await?;
        self.connection = Some(connection);
        let close = head.headers().get(header::CONNECTION);
        self.closing = close.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        self.told_move = self.endpoint.moves.hear(head.headers());
        self.read(&head, &body)
    }

    fn read<Answer: DeserializeOwned>(&self, head: &Response<()>, body: &Bytes) -> Result<Answer, Unknown> {
        if head.status() != StatusCode::OK {
            let with_token = self.endpoint.access.token_file.is_some();
            return Err(Unknown::Refused(Refusal::read(head, body, with_token)));
        }
        serde_json::from_slice(body).map_err(|error| Unknown::Garbage(error.to_string()))
    }

    fn of_our_node(&self, status: NodeStatus) -> Result<NodeStatus, Unknown> {
        if status.name != self.endpoint.node {
            let problem = format!("it is about {:?}, not about {:?}", status.name, self.endpoint.node);
            return Err(Unknown::Garbage(problem));
        }
        Ok(status)
    }
}
