//! What the controller is told of the program, for who looks at the cluster: beside all else, and never in its way.

mod mailbox;
mod outlook;
mod queue;
mod sending;
pub mod told;

use std::sync::Arc;

use crik_api::report::What;
use tokio::time::{Instant, timeout};

use self::mailbox::{Mailbox, State};
use crate::base::limits;
use crate::cluster::node::Node;

/// Takes reports. Without a controller that would believe them nothing is taken.
#[derive(Clone)]
pub struct Reports(Option<Arc<Mailbox>>);

impl Reports {
    /// To the controller of `node`, in a task of its own.
    pub fn to(node: Option<&Arc<Node>>, name: Option<&str>) -> Self {
        let Some(node) = node.filter(|node| node.takes_reports()) else { return Self(None) };
        let mailbox = Arc::new(Mailbox::new(name.unwrap_or_default()));
        tokio::spawn(sending::go_on(Arc::clone(&mailbox), Arc::clone(node)));
        Self(Some(mailbox))
    }

    /// Tells it, sooner or later.
    pub fn tell(&self, what: What) {
        if let Some(mailbox) = &self.0 {
            mailbox.add(what);
        }
    }

    /// The container was told to stop, and is killed then.
    pub fn killed_at(&self, at: Instant) {
        self.0.iter().for_each(|mailbox| mailbox.ends_at(at));
    }

    /// At the agent's end: gives what still waits a moment, if the container has one.
    pub async fn end(&self) {
        let Some(mailbox) = self.0.as_ref().filter(|mailbox| mailbox.has(limits::REPORTS_AT_THE_END)) else {
            return;
        };
        // What waits for another try is tried once more.
        mailbox.news.notify_one();
        let mut state = mailbox.state.subscribe();
        let _ = timeout(limits::REPORTS_AT_THE_END, state.wait_for(|state| *state != State::Sending)).await;
    }
}
