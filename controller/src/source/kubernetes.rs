//! The API server.
//!
//! The watch is kube's; when it is tried again, and when it counts as lost, is decided here. A watch that says nothing
//! may be dead without anybody knowing, so the API server is made to end it every [`limits::WATCH_SECONDS`], and a
//! connection that is silent for longer is taken for lost. One that is answered may still be told old things, so it
//! counts only as long as there is [`Proof`] that it is not.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBackoff;
use futures_util::{FutureExt as _, Stream, StreamExt};
use kube::Api;
use kube::runtime::watcher::{self, watcher};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use super::api_server::Watching;
use super::loss::Loss;
use super::proof::Proof;
use super::proven::Proven;
use super::watched_node::WatchedNode;
use crate::base::watch_error::explain;
use crate::base::{limits, retry};
use crate::event::Event;
use crate::signals::{Observation, Signals};

/// Watches all nodes for ever.
pub async fn run(api_server: Watching, signals: Arc<Signals>, tell: impl FnMut(Event)) {
    let Watching { client, answered, mut proofs } = api_server;
    let config = watcher::Config::default().timeout(limits::WATCH_SECONDS).page_size(limits::LIST_PAGE);
    let begin = || Box::pin(watcher(Api::<WatchedNode>::all(client.clone()), config.clone()));
    forward(begin, &answered, &mut proofs, &signals, tell).await;
}

type Step = Result<watcher::Event<WatchedNode>, watcher::Error>;

/// `begin` begins a watch, with a list of all nodes; `answered` rings when the API server begins to answer it.
async fn forward<S: Stream<Item = Step> + Unpin>(
    mut begin: impl FnMut() -> S,
    answered: &Notify,
    proofs: &mut mpsc::Receiver<Proof>,
    signals: &Signals,
    mut tell: impl FnMut(Event),
) {
    let (mut watch, mut stream) = (Watch::new(signals, answered), begin());
    loop {
        // What has come is taken first, so that a watch counts as good only when nothing is left of what was missed.
        let told = tokio::select! {
            biased;
            step = after(watch.not_before, stream.next()) => match step {
                Some(step) => watch.step(step),
                None => return,
            },
            () = answered.notified() => watch.is_answered(),
            Some(proof) = proofs.recv() => watch.proof(proof),
            () = sleep_until(watch.due()) => watch.time(),
        };
        if let Some(event) = told {
            if matches!(event, Event::Listed(_) | Event::Heard | Event::Proved(_)) {
                watch.loss.is_over();
            }
            tell(event);
        }
        if std::mem::take(&mut watch.anew) {
            stream = begin();
        }
    }
}

async fn after<T>(moment: Instant, future: impl Future<Output = T>) -> T {
    sleep_until(moment).await;
    future.await
}

/// What is known of the watch.
struct Watch<'a> {
    signals: &'a Signals,
    answered: &'a Notify,
    /// A list comes in pieces, and only the whole of it says which nodes are gone.
    listing: Option<Vec<(Box<str>, Observation)>>,
    pauses: ExponentialBackoff,
    /// When the next step may be tried.
    not_before: Instant,
    /// When a watch that was answered counts as good, if nothing goes wrong until then: the API server may answer well
    /// and then say that it cannot go on from there.
    settled: Option<Instant>,
    /// When the watch last gave a sign: nothing that has happened since has come.
    sign: Instant,
    /// When silence means that the API server is lost.
    patience: Instant,
    /// When it failed first, as long as it is not good again.
    failing_since: Option<Instant>,
    /// True as long as nothing has gone wrong since it was listed or settled.
    good: bool,
    proven: Proven,
    loss: Loss,
    /// Whether it must begin anew, with a list.
    anew: bool,
}

impl<'a> Watch<'a> {
    fn new(signals: &'a Signals, answered: &'a Notify) -> Self {
        let now = Instant::now();
        let patience = now + limits::API_LOST;
        Self {
            signals,
            answered,
            listing: None,
            pauses: retry::pauses(),
            not_before: now,
            settled: None,
            sign: now,
            patience,
            failing_since: None,
            good: false,
            proven: Proven::new(now),
            loss: Loss::default(),
            anew: false,
        }
    }

    fn step(&mut self, step: Step) -> Option<Event> {
        let event = match step {
            Ok(event) => event,
            Err(error) => return self.failed(&error),
        };
        self.has_signed();
        match event {
            watcher::Event::Init => {
                self.forget_answers();
                self.proven.begins_list();
                self.listing = Some(Vec::new());
                None
            }
            watcher::Event::InitApply(object) => {
                let seen = self.seen(&object);
                self.listing.get_or_insert_default().push(seen);
                None
            }
            watcher::Event::InitDone => {
                self.is_good();
                self.proven.has_listed();
                Some(Event::Listed(self.listing.take().unwrap_or_default()))
            }
            watcher::Event::Apply(object) => {
                let (name, observation) = self.seen(&object);
                Some(Event::Applied(name, observation))
            }
            watcher::Event::Delete(object) => Some(Event::Deleted(object.node.name.into())),
        }
    }

    fn failed(&mut self, error: &watcher::Error) -> Option<Event> {
        let now = Instant::now();
        let pause = self.pause();
        (self.not_before, self.patience) = (now + pause, now + pause + limits::API_LOST);
        (self.listing, self.good) = (None, false);
        self.forget_answers();
        let since = *self.failing_since.get_or_insert(now);
        self.anew = is_too_old(error) || now - since >= limits::RELIST_AFTER;
        self.loss.begins(explain("nodes", error))
    }

    /// How long to wait after a failure. As long as the loss is not told, pauses do not grow: one that outlasts the grace would have it
    /// told of an API server that is back.
    fn pause(&mut self) -> Duration {
        let pause = if self.loss.is_told() { self.pauses.next() } else { retry::pauses().next() };
        pause.unwrap_or(limits::API_RETRY_MAX)
    }

    /// Something has come of it.
    fn has_signed(&mut self) -> Instant {
        let now = Instant::now();
        (self.sign, self.patience) = (now, now + limits::API_LOST);
        now
    }

    fn is_good(&mut self) {
        (self.pauses, self.failing_since, self.good) = (retry::pauses(), None, true);
    }

    /// A proof without a watch that is good says nothing, and neither does a watch without a proof; and of one whose connection hangs it
    /// says nothing that is newer than its last sign. What was told without one
    /// is told anew, from a list: the cache of an API server that finds back to etcd may be behind for a while.
    fn proof(&mut self, Proof { asked, answer }: Proof) -> Option<Event> {
        match answer {
            Ok(()) if self.proven.is_good(asked) => {
                self.anew = self.listing.is_none();
                None
            }
            Ok(()) => (self.good && self.listing.is_none()).then(|| Event::Proved(self.sign.elapsed())),
            Err(why) => {
                self.proven.is_missing(why);
                None
            }
        }
    }

    /// What was answered so far says nothing of what is asked from now on.
    fn forget_answers(&mut self) {
        self.settled = None;
        let _ = self.answered.notified().now_or_never();
    }

    fn is_answered(&mut self) -> Option<Event> {
        let now = self.has_signed();
        // A page of a list is not the whole of it.
        self.settled = self.listing.is_none().then(|| now + limits::WATCH_SETTLE);
        None
    }

    /// When the passing of time alone means something.
    fn due(&self) -> Instant {
        let watch = self.settled.unwrap_or(self.patience);
        // One that is answered is given the time to settle.
        let settling = if self.settled.is_some() { limits::WATCH_SETTLE } else { Duration::ZERO };
        let loss = self.loss.due().map(|due| due + settling);
        [self.proven.due(), loss].into_iter().flatten().fold(watch, Instant::min)
    }

    fn time(&mut self) -> Option<Event> {
        if let Some(why) = self.proven.runs_out() {
            return Some(self.loss.is_certain(why));
        }
        if self.settled.take_if(|settled| *settled <= Instant::now()).is_some() {
            self.is_good();
            return self.proven.holds().then_some(Event::Heard);
        }
        if let Some(told) = self.loss.time() {
            return Some(told);
        }
        self.good = false;
        self.patience = Instant::now() + limits::API_LOST;
        let why = format!("the API server has said nothing for {:?}", limits::API_LOST);
        Some(self.loss.is_certain(why))
    }

    fn seen(&self, object: &WatchedNode) -> (Box<str>, Observation) {
        (object.node.name.as_str().into(), self.signals.observe(&object.node))
    }
}

/// What kube-runtime would ask for again and again: it takes up a watch that could not be begun where the last one ended.
fn is_too_old(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

#[cfg(test)]
mod tests;
