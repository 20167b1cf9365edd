//! `GET /v1/events`: all nodes, and then each change, as server-sent events
//! (html.spec.whatwg.org/multipage/server-sent-events.html).
//!
//! A change of the source changes every status, and a client that reads too slowly misses changes; both are answered
//! with all nodes anew, so that a client is right if it does nothing but take in what it is told.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use crik_api::{Lagged, NodeStatus};
use futures_util::stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};

use crate::base::limits;
use crate::base::random::up_to;
use crate::connections::{Peer, hold};
use crate::index::{Change, Index};
use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::MayReadAll;
use crate::serve::lists::{Lists, Text, Withdrawn};
use crate::serve::stopping::Stopping;

/// The stream. It ends when the caller's token expires, and after [`limits::STREAM_LIFE`].
pub async fn stream(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    MayReadAll(expires): MayReadAll,
) -> Response {
    if !app.0.index.is_ready() {
        return answer::not_ready();
    }
    let place = match app.0.streams.enter(peer) {
        Ok(place) => place,
        Err(full) => return answer::too_many_reads("streams", full),
    };
    let feed = Feed::new(&app.0.texts, &app.0.index, app.0.stopping.clone(), end(expires));
    let body = Body::from_stream(stream::unfold(feed, Feed::next));
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    hold(place, (head, body).into_response())
}

/// When a stream ends whose caller's token expires then, if it has one.
fn end(expires: Option<Instant>) -> Instant {
    let end = Instant::now() + limits::STREAM_LIFE + up_to(limits::STREAM_LIFE / 10);
    expires.map_or(end, |expires| expires.min(end))
}

/// What one client is told.
struct Feed {
    texts: Lists,
    index: Arc<Index>,
    stopping: Stopping,
    changes: Receiver<Change>,
    /// What is to be sent next.
    ready: VecDeque<Bytes>,
    /// A snapshot that is being sent, and its next piece.
    snapshot: Option<(Arc<Text>, usize)>,
    /// Whether all nodes are to be told next.
    anew: bool,
    end: Instant,
    /// Whether the process is to stop.
    leaving: bool,
}

impl Feed {
    fn new(texts: &Lists, index: &Arc<Index>, stopping: Stopping, end: Instant) -> Self {
        let (texts, index, changes) = (texts.clone(), Arc::clone(index), index.subscribe());
        let (ready, snapshot) = (VecDeque::new(), None);
        Self { texts, index, stopping, changes, ready, snapshot, anew: true, end, leaving: false }
    }

    /// What is sent next; nothing at a shutdown, or at the end of its time, or to one who has read too slowly.
    async fn next(mut self) -> Option<(Result<Bytes, Withdrawn>, Self)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some((Ok(ready), self));
            }
            if let Some((text, next)) = &mut self.snapshot {
                let piece = text.piece(*next);
                *next += 1;
                match piece.transpose() {
                    Some(piece) => return Some((piece, self)),
                    None => {
                        self.snapshot = None;
                        return Some((Ok(Bytes::from_static(b"\n\n")), self));
                    }
                }
            }
            self = self.turn().await?;
        }
    }

    async fn turn(mut self) -> Option<Self> {
        if std::mem::take(&mut self.anew) { self.all().await } else { self.change().await }.then_some(self)
    }

    /// All nodes. Changes that came meanwhile may be told again after it.
    async fn all(&mut self) -> bool {
        // Subscribed before the look, so that no change falls between the two; what was not read before is in it.
        self.changes = self.index.subscribe();
        let Some(text) = self.texts.now().await else { return false };
        let retry = limits::STREAM_RETRY.as_millis();
        self.ready.push_back(format!("event: snapshot\nretry: {retry}\ndata: ").into());
        self.snapshot = Some((text, 0));
        true
    }

    /// False at the end of the stream.
    async fn change(&mut self) -> bool {
        let change = tokio::select! {
            // The ends first: changes may come without a pause.
            biased;
            end = self.stopping.leaves(), if !self.leaving => {
                (self.end, self.leaving) = (self.end.min(end), true);
                return true;
            }
            () = sleep_until(self.end) => return false,
            change = self.changes.recv() => change,
            () = sleep(limits::HEARTBEAT) => {
                self.ready.push_back(Bytes::from_static(b": heartbeat\n\n"));
                return true;
            }
        };
        match change {
            Ok(Change::Node(change)) => self.ready.push_back(change.written(write)),
            Ok(Change::Source) => self.anew = true,
            Err(RecvError::Lagged(missed)) => {
                self.anew = true;
                let data = serde_json::to_string(&Lagged { missed }).unwrap_or_default();
                self.ready.push_back(format!("event: lagged\ndata: {data}\n\n").into());
            }
            Err(RecvError::Closed) => return false,
        }
        true
    }
}

/// One change. JSON without line breaks, so that it is one line of data.
fn write(status: &NodeStatus) -> Bytes {
    let data = serde_json::to_string(status).unwrap_or_default();
    format!("event: node\nid: {}\ndata: {data}\n\n", status.version).into()
}

#[cfg(test)]
mod tests;
