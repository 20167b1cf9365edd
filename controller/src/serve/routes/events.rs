//! `GET /v1/events`: all nodes, and then each change, as server-sent events.
//!
//! A change of the source changes every status, and a client that reads too slowly misses changes; both are answered
//! with all nodes anew, so that a client is right if it does nothing but take in what it is told.

use std::convert::Infallible;
use std::future::pending;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use crik_api::{Lagged, NodeList};
use futures_util::stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

use crate::base::limits;
use crate::connections::hold;
use crate::index::Change;
use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::MayReadAll;

/// The stream. It ends when the caller's token expires.
pub async fn stream(State(app): State<App>, MayReadAll(until): MayReadAll) -> Response {
    if !app.0.index.is_ready() {
        return answer::not_ready();
    }
    let Some(place) = app.0.streams.enter() else { return answer::too_many_streams() };
    let events = stream::unfold(Feed::new(app, until), Feed::next);
    let heartbeat = KeepAlive::new().interval(limits::HEARTBEAT).text("heartbeat");
    hold(place, Sse::new(events).keep_alive(heartbeat).into_response())
}

/// What one client is told.
struct Feed {
    app: App,
    changes: Receiver<Change>,
    /// Whether all nodes are to be told next.
    snapshot: bool,
    /// When the caller's token expires.
    until: Option<Instant>,
}

impl Feed {
    fn new(app: App, until: Option<Instant>) -> Self {
        Self { changes: app.0.index.subscribe(), app, snapshot: true, until }
    }

    /// The next event; none at a shutdown, or when the caller may not read any more.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let event = if self.snapshot { self.all() } else { self.change().await };
        Some((Ok(event?), self))
    }

    /// All nodes. Changes that came meanwhile may be told again after it.
    fn all(&mut self) -> Option<Event> {
        // Subscribed before the look, so that no change falls between the two; what was not read before is in it.
        self.changes = self.app.0.index.subscribe();
        self.snapshot = false;
        let nodes = self.app.0.index.all()?;
        let event = Event::default().event("snapshot").retry(limits::STREAM_RETRY);
        event.json_data(NodeList { nodes }).ok()
    }

    async fn change(&mut self) -> Option<Event> {
        let mut stopping = self.app.0.stopping.clone();
        let change = tokio::select! {
            // The ends first: changes may come without a pause.
            biased;
            _ = stopping.wait_for(|stop| *stop) => return None,
            () = reached(self.until) => return None,
            change = self.changes.recv() => change,
        };
        match change {
            Ok(Change::Node(change)) => {
                Event::default().event("node").id(&change.status.version).json_data(&change.status).ok()
            }
            Ok(Change::Source) => self.all(),
            Err(RecvError::Lagged(missed)) => {
                self.snapshot = true;
                Event::default().event("lagged").json_data(Lagged { missed }).ok()
            }
            Err(RecvError::Closed) => None,
        }
    }
}

/// Waits until then, or for ever.
async fn reached(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}
