//! Between those who tell something and the one who sends it.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crik_api::report::{Report, ReportId, What};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::queue::{Queue, Waiting};
use crate::base::panics::locked;
use crate::base::units::{seconds, whole_ms};

/// What waits to be sent.
pub struct Mailbox {
    /// When the agent began, in milliseconds since 1970.
    began: u64,
    /// The name of the pod's node.
    node: String,
    queue: Mutex<Queue>,
    /// There is one more.
    pub news: Notify,
    /// How it stands.
    pub state: watch::Sender<State>,
    /// When the container is killed, if it was told to stop.
    killed_at: Mutex<Option<Instant>>,
}

/// How it stands with what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing does.
    Empty,
    /// It is sent.
    Sending,
    /// The controller does not take it for a while.
    Refused,
}

impl Mailbox {
    /// Of an agent that begins now, on this node.
    pub fn new(node: &str) -> Self {
        Self {
            began: whole_ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            node: node.to_owned(),
            queue: Mutex::default(),
            news: Notify::new(),
            state: watch::Sender::new(State::Empty),
            killed_at: Mutex::default(),
        }
    }

    /// Adds what happens now.
    pub fn add(&self, what: What) {
        locked(&self.queue).add(what, Instant::now().into_std());
        self.state.send_if_modified(|state| {
            let was_empty = *state == State::Empty;
            if was_empty {
                *state = State::Sending;
            }
            was_empty
        });
        self.news.notify_one();
    }

    /// The next one.
    pub fn first(&self) -> Option<Waiting> {
        locked(&self.queue).first().cloned()
    }

    /// As it is told now.
    pub fn report(&self, waiting: &Waiting) -> Report {
        Report {
            id: ReportId { began: self.began, number: waiting.number },
            seconds_ago: seconds(waiting.at.elapsed()),
            node: self.node.clone(),
            what: waiting.what.clone(),
        }
    }

    /// It is sent, or is to be sent no more.
    pub fn is_done_with(&self, waiting: &Waiting) {
        let mut queue = locked(&self.queue);
        queue.remove(waiting.number);
        let state = if queue.is_empty() { State::Empty } else { State::Sending };
        self.state.send_replace(state);
    }

    /// The container is killed then.
    pub fn ends_at(&self, at: Instant) {
        *locked(&self.killed_at) = Some(at);
    }

    /// Whether the container has more than this `time` left.
    pub fn has(&self, time: Duration) -> bool {
        locked(&self.killed_at).is_none_or(|at| at.saturating_duration_since(Instant::now()) > time)
    }
}
