//! The API server.
//!
//! The watch is kube's; when it is tried again, and when it counts as lost, is decided here. A watch that says nothing
//! may be dead without anybody knowing, so the API server is made to end it every [`limits::WATCH_SECONDS`], and a
//! connection that is silent for longer is taken for lost.

use std::sync::Arc;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::{FutureExt as _, Stream, StreamExt};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::watch_error::explain;
use super::watched_node::WatchedNode;
use crate::base::limits;
use crate::event::Event;
use crate::signals::{Observation, Signals};

/// Watches all nodes for ever. `answered` rings when the API server begins to answer.
pub async fn run(client: Client, answered: Arc<Notify>, signals: Arc<Signals>, tell: impl FnMut(Event)) {
    let config = watcher::Config::default().timeout(limits::WATCH_SECONDS).page_size(limits::LIST_PAGE);
    let begin = || Box::pin(watcher(Api::<WatchedNode>::all(client.clone()), config.clone()));
    forward(begin, &answered, &signals, tell).await;
}

type Step = Result<watcher::Event<WatchedNode>, watcher::Error>;

/// `begin` begins a watch, with a list of all nodes.
async fn forward<S: Stream<Item = Step> + Unpin>(
    mut begin: impl FnMut() -> S,
    answered: &Notify,
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
            () = sleep_until(watch.settled.unwrap_or(watch.patience)) => watch.time(),
        };
        if let Some(event) = told {
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
    /// When silence means that the API server is lost.
    patience: Instant,
    /// When it failed first, as long as it is not good again.
    failing_since: Option<Instant>,
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
            pauses: pauses(),
            not_before: now,
            settled: None,
            patience,
            failing_since: None,
            anew: false,
        }
    }

    fn step(&mut self, step: Step) -> Option<Event> {
        let event = match step {
            Ok(event) => event,
            Err(error) => return Some(self.failed(&error)),
        };
        self.patience = Instant::now() + limits::API_LOST;
        match event {
            watcher::Event::Init => {
                self.forget_answers();
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
                Some(Event::Listed(self.listing.take().unwrap_or_default()))
            }
            watcher::Event::Apply(object) => {
                let (name, observation) = self.seen(&object);
                Some(Event::Applied(name, observation))
            }
            watcher::Event::Delete(object) => Some(Event::Deleted(object.node.name.into())),
        }
    }

    fn failed(&mut self, error: &watcher::Error) -> Event {
        let now = Instant::now();
        let pause = self.pauses.next().unwrap_or(limits::API_RETRY_MAX);
        (self.not_before, self.patience) = (now + pause, now + pause + limits::API_LOST);
        self.listing = None;
        self.forget_answers();
        let since = *self.failing_since.get_or_insert(now);
        self.anew = is_too_old(error) || now - since >= limits::RELIST_AFTER;
        Event::Lost(explain(error))
    }

    fn is_good(&mut self) {
        (self.pauses, self.failing_since) = (pauses(), None);
    }

    /// What was answered so far says nothing of what is asked from now on.
    fn forget_answers(&mut self) {
        self.settled = None;
        let _ = self.answered.notified().now_or_never();
    }

    fn is_answered(&mut self) -> Option<Event> {
        let now = Instant::now();
        self.patience = now + limits::API_LOST;
        // A page of a list is not the whole of it.
        self.settled = self.listing.is_none().then(|| now + limits::WATCH_SETTLE);
        None
    }

    fn time(&mut self) -> Option<Event> {
        if self.settled.take().is_some() {
            self.is_good();
            return Some(Event::Heard);
        }
        self.patience = Instant::now() + limits::API_LOST;
        Some(Event::Lost(format!("the API server has said nothing for {:?}", limits::API_LOST)))
    }

    fn seen(&self, object: &WatchedNode) -> (Box<str>, Observation) {
        (object.node.name.as_str().into(), self.signals.observe(&object.node))
    }
}

/// What kube-runtime would ask for again and again: it takes up a watch that could not be begun where the last one ended.
fn is_too_old(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// Each pause is twice the last, and up to as much again by chance, so that replicas do not come back together.
fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(limits::API_RETRY_MIN);
    pauses.with_max_delay(limits::API_RETRY_MAX).without_max_times().with_jitter().build()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use kube::core::Status;
    use tokio::sync::mpsc;

    use super::*;
    use crate::signals::Object;

    fn named(name: &str) -> WatchedNode {
        let yaml = format!("metadata: {{name: {name}}}");
        serde_yaml::from_str::<Object>(&yaml).unwrap().into()
    }

    fn refused(code: u16) -> Step {
        let status = Status { code, ..Status::failure("no", "") };
        Err(watcher::Error::WatchError(Box::new(status)))
    }

    /// What is told of these steps, after which the stream says nothing more.
    async fn told(steps: Vec<Step>, answered: &Notify, count: usize) -> Vec<Event> {
        told_by(vec![steps], answered, count).await
    }

    /// The same of one watch after the other.
    async fn told_by(watches: Vec<Vec<Step>>, answered: &Notify, count: usize) -> Vec<Event> {
        let (sender, mut events) = mpsc::unbounded_channel();
        let mut watches = watches.into_iter();
        let begin = || stream::iter(watches.next().unwrap_or_default()).chain(stream::pending());
        let signals = Signals::built_in();
        let mut all = Vec::new();
        let tell = |event| {
            let _ = sender.send(event);
        };
        tokio::select! {
            () = forward(begin, answered, &signals, tell) => {}
            () = async {
                while all.len() < count && let Some(event) = events.recv().await {
                    all.push(event);
                }
            } => {}
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_passed_on_as_a_whole() {
        let steps = vec![
            Ok(watcher::Event::Init),
            Ok(watcher::Event::InitApply(named("a"))),
            Ok(watcher::Event::Init),
            Ok(watcher::Event::InitApply(named("b"))),
            Ok(watcher::Event::InitDone),
            Ok(watcher::Event::Delete(named("b"))),
        ];
        let told = told(steps, &Notify::new(), 2).await;
        let Event::Listed(nodes) = &told[0] else { panic!("no list") };
        assert_eq!((nodes.len(), &*nodes[0].0), (1, "b"));
        assert_eq!(told[1], Event::Deleted("b".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_and_followed_by_a_pause_that_grows() {
        let begun = Instant::now();
        let mut steps: Vec<Step> = (0..8).map(|_| refused(500)).collect();
        steps.push(Ok(watcher::Event::Delete(named("a"))));
        let told = told(steps, &Notify::new(), 9).await;
        assert!(told[..8].iter().all(|event| matches!(event, Event::Lost(_))));
        assert_eq!(told[8], Event::Deleted("a".into()));
        let (pauses, longest) = (begun.elapsed(), limits::API_RETRY_MAX * 2 * 8);
        assert!(pauses > limits::API_RETRY_MAX && pauses < longest, "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_answered_and_stays_good_is_heard() {
        let answered = Notify::new();
        answered.notify_one();
        let begun = Instant::now();
        assert_eq!(told(vec![], &answered, 1).await, [Event::Heard]);
        assert!(begun.elapsed() >= limits::WATCH_SETTLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_answered_and_then_fails_is_not_heard() {
        let answered = Notify::new();
        answered.notify_one();
        let told = told(vec![refused(410), Ok(watcher::Event::Init)], &answered, 2).await;
        assert!(told.iter().all(|event| matches!(event, Event::Lost(_))), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_go_on_begins_anew_with_a_list() {
        let gone = kube::Error::Api(Box::new(Status { code: 410, ..Status::failure("gone", "Expired") }));
        let first = vec![Err(watcher::Error::WatchStartFailed(gone)), Ok(watcher::Event::Delete(named("a")))];
        let second = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)];
        let told = told_by(vec![first, second], &Notify::new(), 2).await;
        assert!(matches!(&told[..], [Event::Lost(_), Event::Listed(_)]), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_loss_all_nodes_are_listed_anew() {
        let tries =
            usize::try_from(limits::RELIST_AFTER.as_secs() / limits::API_RETRY_MAX.as_secs()).unwrap();
        let first: Vec<Step> = (0..2 * tries + 8).map(|_| refused(500)).collect();
        let failures = first.len();
        let second = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitDone)];
        let told = told_by(vec![first, second], &Notify::new(), failures).await;
        assert!(told.iter().any(|event| matches!(event, Event::Listed(_))), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_of_a_list_does_not_mean_that_all_is_well() {
        let answered = Notify::new();
        answered.notify_one();
        let steps = vec![Ok(watcher::Event::Init), Ok(watcher::Event::InitApply(named("a")))];
        let told = told(steps, &answered, 1).await;
        assert!(matches!(told[0], Event::Lost(_)), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_means_that_the_api_server_is_lost() {
        let begun = Instant::now();
        let told = told(vec![], &Notify::new(), 1).await;
        assert!(matches!(&told[0], Event::Lost(why) if why.contains("nothing")), "{told:?}");
        assert!(begun.elapsed() <= std::time::Duration::from_secs(30));
    }
}
