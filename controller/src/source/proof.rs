//! Proof that what the API server tells is not old.
//!
//! A watch, and each further one, is answered from the API server's cache, which goes on without etcd and grows old in silence:
//! nobody can write a Node meanwhile, no kubelet, drainer or person. Only a read without a resource version is answered
//! from etcd, or from the cache once that is known to be as new as etcd (kubernetes.io/docs/reference/using-api/api-concepts,
//! "Resource versions"; KEP-2340). So one is made all the time, the smallest that needs no right beyond the watch's.

use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::watch_error::refusal;
use super::watched_node::WatchedNode;
use crate::base::limits;

/// What came of one read.
#[derive(Debug)]
pub struct Proof {
    /// When it was asked for: what the API server tells was not older then.
    pub asked: Instant,
    /// Why there is none.
    pub answer: Result<(), String>,
}

/// Reads again and again, until nobody takes what comes of it. The client must not repeat what fails.
pub async fn run(client: Client, proofs: mpsc::Sender<Proof>) {
    let nodes = Api::<WatchedNode>::all(client);
    loop {
        let asked = Instant::now();
        let answer = read(&nodes).await;
        let pause = if answer.is_ok() { limits::PROOF_EVERY } else { limits::PROOF_RETRY };
        if proofs.send(Proof { asked, answer }).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

async fn read(nodes: &Api<WatchedNode>) -> Result<(), String> {
    let one = ListParams::default().limit(1);
    match timeout(limits::PROOF_TIMEOUT, nodes.list_metadata(&one)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refusal("list", &error)),
        Err(_) => Err(format!("it does not answer a consistent read within {:?}", limits::PROOF_TIMEOUT)),
    }
}
