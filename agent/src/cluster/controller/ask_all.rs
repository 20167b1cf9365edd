//! Asks all replicas at the same time, for a decision that cannot wait: one of them may be dying with this node, hang, or
//! have lost its source.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::cluster::controller::addresses;
use crate::cluster::controller::endpoint::Endpoint;
use crate::cluster::controller::unknown::Unknown;

/// Who has said what; nobody, if it is that nobody could be found.
pub type Said<Answer> = (Option<SocketAddr>, Result<Answer, Arc<Unknown>>);

/// Takes what is said. It fails when nobody listens any more.
pub type Tell<Answer> = mpsc::UnboundedSender<Said<Answer>>;

/// How one replica is asked, again and again.
type Interrogate<Answer> = Box<dyn Fn(SocketAddr, Tell<Answer>) -> BoxFuture<'static, ()> + Send>;

/// Questions to all replicas. They end when this is dropped.
pub struct AskAll<Answer> {
    asking: JoinSet<()>,
    asked: Vec<SocketAddr>,
    interrogate: Interrogate<Answer>,
    deadline: Instant,
    tell: Tell<Answer>,
    told: mpsc::UnboundedReceiver<Said<Answer>>,
    found: mpsc::UnboundedReceiver<Result<Vec<SocketAddr>, Unknown>>,
}

impl<Answer> AskAll<Answer> {
    /// Asks those that are `known` at once, and the others as soon as the resolver has told them.
    pub fn ask<Asking: Future<Output = ()> + Send + 'static>(
        endpoint: &Arc<Endpoint>,
        known: Vec<SocketAddr>,
        deadline: Instant,
        interrogate: impl Fn(SocketAddr, Tell<Answer>) -> Asking + Send + 'static,
    ) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let (tell_found, found) = mpsc::unbounded_channel();
        let mut asking = JoinSet::new();
        let resolved = Arc::clone(endpoint);
        asking.spawn(async move { drop(tell_found.send(addresses::resolve(&resolved).await)) });
        let interrogate: Interrogate<Answer> =
            Box::new(move |address, tell| Box::pin(interrogate(address, tell)));
        let mut all = Self { asking, asked: Vec::new(), interrogate, deadline, tell, told, found };
        all.also(known);
        all
    }

    fn also(&mut self, addresses: Vec<SocketAddr>) {
        for address in addresses {
            if !self.asked.contains(&address) {
                self.asked.push(address);
                self.asking.spawn((self.interrogate)(address, self.tell.clone()));
            }
        }
    }

    /// What is said next. None at the deadline.
    pub async fn next(&mut self) -> Option<Said<Answer>> {
        loop {
            let next = async {
                tokio::select! {
                    Some(said) = self.told.recv() => Ok(said),
                    Some(found) = self.found.recv() => Err(found),
                }
            };
            match timeout_at(self.deadline, next).await.ok()? {
                Ok(said) => return Some(said),
                Err(Ok(found)) => self.also(found),
                // Where they were before is as good as it gets.
                Err(Err(_)) if !self.asked.is_empty() => {}
                Err(Err(error)) => return Some((None, Err(Arc::new(error)))),
            }
        }
    }
}
