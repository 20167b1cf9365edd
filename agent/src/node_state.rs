//! Learns the node's state from the controller.

use std::sync::Arc;
use std::time::Duration;

use crik_api::NodeStatus;
use reqwest::{Client, StatusCode, Url};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::limits;

/// What is known of the node: its status, or why there is none.
pub type Knowledge = Result<NodeStatus, Arc<Unlearned>>;

/// Why the node's state is not known.
#[derive(Debug, Error)]
pub enum Unlearned {
    /// Nothing was asked yet.
    #[error("the controller has not answered yet")]
    NotYet,
    /// The pod does not know its node.
    #[error("the environment variable {} is not set", limits::NODE_NAME_VARIABLE)]
    NoNodeName,
    /// The URL cannot be used.
    #[error("nodeStateServerURL {0:?} cannot be used")]
    Url(String),
    /// The controller cannot be reached, or the answer does not come.
    #[error("the controller does not answer: {0}")]
    Unreachable(String),
    /// It answers that it cannot tell.
    #[error("the controller answers {0}")]
    Refused(StatusCode),
    /// It answers something else.
    #[error("the controller's answer is not a node state: {0}")]
    Garbage(String),
}

/// Asks one controller about one node.
#[derive(Debug, Clone)]
pub struct Asker {
    client: Client,
    url: Url,
}

impl Asker {
    /// For `node`, at the controller that serves at `base`.
    ///
    /// # Errors
    /// The URL cannot be used, or there is no node to ask about.
    pub fn new(base: &str, node: Option<&str>) -> Result<Self, Unlearned> {
        let node = node.filter(|node| !node.is_empty()).ok_or(Unlearned::NoNodeName)?;
        let mut url = Url::parse(base).map_err(|_| Unlearned::Url(base.to_owned()))?;
        url.path_segments_mut()
            .map_err(|()| Unlearned::Url(base.to_owned()))?
            .pop_if_empty()
            .extend(["v1", "nodes", node]);
        // A proxy from the environment would stand between the pod and its own cluster.
        let client = Client::builder().connect_timeout(limits::CONNECT_TIMEOUT).no_proxy().build();
        Ok(Self { client: client.map_err(|_| Unlearned::Url(base.to_owned()))?, url })
    }

    /// The node's status now, or its first change after `since` if that comes within `wait`.
    async fn ask(
        &self,
        since: Option<&str>,
        wait: Duration,
        patience: Duration,
    ) -> Result<NodeStatus, Unlearned> {
        let mut url = self.url.clone();
        if let Some(version) = since {
            let wait = format!("{}ms", wait.as_millis());
            url.query_pairs_mut().append_pair("wait", &wait).append_pair("since", version);
        }
        let unreachable = |error: reqwest::Error| Unlearned::Unreachable(innermost(&error));
        let mut answer = self.client.get(url).timeout(patience).send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(Unlearned::Refused(answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > limits::ANSWER_MAX_BYTES {
                return Err(Unlearned::Garbage("it is too long".to_owned()));
            }
        }
        serde_json::from_slice(&body).map_err(|error| Unlearned::Garbage(error.to_string()))
    }

    /// Follows the node's state for ever and publishes each change and each loss.
    async fn follow(&self, known: &watch::Sender<Knowledge>) {
        let mut pause = limits::POLL_BACKOFF.0;
        loop {
            let since = known.borrow().as_ref().ok().map(|status| status.version.clone());
            let began = Instant::now();
            let answer =
                self.ask(since.as_deref(), limits::POLL_WAIT, limits::POLL_WAIT + limits::POLL_SLACK).await;
            let news = answer.as_ref().is_ok_and(|status| since.as_ref() != Some(&status.version));
            let early = began.elapsed() < limits::POLL_EARLY;
            let failed = answer.is_err();
            publish(known, answer.map_err(Arc::new));
            // A proxy or an old controller that answers at once without news would be asked without end.
            if failed || early && !news {
                sleep(pause).await;
                pause = (pause * 2).min(limits::POLL_BACKOFF.1);
            } else {
                pause = limits::POLL_BACKOFF.0;
            }
        }
    }
}

/// The node whose state decides.
pub struct Node {
    /// Missing if the controller cannot be asked at all, which `known` then explains.
    asker: Option<Asker>,
    known: Arc<watch::Sender<Knowledge>>,
    follower: Option<JoinHandle<()>>,
}

impl Node {
    /// Follows the state of the node `name` at the controller that serves at `base`, in a task of its own.
    pub fn follow(base: &str, name: Option<&str>) -> Self {
        match Asker::new(base, name) {
            Err(error) => {
                tracing::warn!("the node's state cannot be learned: {error}");
                Self {
                    asker: None,
                    known: Arc::new(watch::Sender::new(Err(Arc::new(error)))),
                    follower: None,
                }
            }
            Ok(asker) => {
                let known = Arc::new(watch::Sender::new(Err(Arc::new(Unlearned::NotYet))));
                let (follows, publishes) = (asker.clone(), Arc::clone(&known));
                let follower = tokio::spawn(async move { follows.follow(&publishes).await });
                Self { asker: Some(asker), known, follower: Some(follower) }
            }
        }
    }

    /// What is known now.
    pub fn known(&self) -> Knowledge {
        self.known.borrow().clone()
    }

    /// Asks anew until `enough` or the `deadline`. What was known before may come from a connection that has died
    /// unnoticed, so it is forgotten first and cannot decide alone.
    pub async fn ask_until(&self, deadline: Instant, enough: impl Fn() -> bool) {
        let Some(asker) = &self.asker else { return };
        self.follower.iter().for_each(JoinHandle::abort);
        drop(self.known.send_replace(Err(Arc::new(Unlearned::NotYet))));
        while Instant::now() < deadline && !enough() {
            let left = deadline.saturating_duration_since(Instant::now());
            let since = self.known().ok().map(|status| status.version);
            let answer = asker.ask(since.as_deref(), left, left).await;
            let failed = answer.is_err();
            // A poll that the deadline cuts off says nothing against the answer before it.
            if !failed || self.known().is_err() {
                publish(&self.known, answer.map_err(Arc::new));
            }
            if failed {
                sleep_until(deadline.min(Instant::now() + limits::POLL_BACKOFF.0)).await;
            }
        }
    }
}

fn publish(known: &watch::Sender<Knowledge>, news: Knowledge) {
    match (&*known.borrow(), &news) {
        (Ok(before), Ok(now)) if before.state != now.state => {
            tracing::info!(state = %now.state, "node state changed");
        }
        (Ok(_), Err(error)) => tracing::warn!("node state lost: {error}"),
        (Err(_), Ok(now)) => tracing::debug!(state = %now.state, "node state learned"),
        _ => {}
    }
    drop(known.send_replace(news));
}

/// The cause that a person can act on; reqwest's own message only says which URL.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_may_end_in_a_slash_and_names_are_escaped() {
        for base in ["http://crik:9376", "http://crik:9376/"] {
            let asker = Asker::new(base, Some("node/a")).unwrap();
            assert_eq!(asker.url.as_str(), "http://crik:9376/v1/nodes/node%2Fa");
        }
        assert!(matches!(Asker::new("http://crik", None), Err(Unlearned::NoNodeName)));
    }
}
