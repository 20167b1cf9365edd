//! The HTTP API.

mod answer;
mod caller;
mod events;
mod go_agent;
mod health;
mod metrics;
mod name;
mod nodes;
mod observe;
mod openapi;
mod options;
mod poll;
mod portions;
mod routes;

use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::metrics::Metrics;
pub use self::options::{AuthKind, Options};
use crate::auth::{Auth, Reviews};
use crate::connections::{Peers, Room, Server, room_for};
use crate::index::Index;
use crate::limits;
use crate::tls::Tls;

/// What every handler has.
#[derive(Clone)]
struct App(Arc<Shared>);

struct Shared {
    index: Arc<Index>,
    /// Becomes true at a shutdown, which ends waiting polls and streams.
    stopping: watch::Receiver<bool>,
    /// None if everyone may read everything.
    auth: Option<Auth>,
    metrics: Metrics,
    /// Room for waiting polls.
    polls: Room,
    /// Room for lists and streams that are being sent.
    streams: Room,
    /// Room for connections.
    connections: Room,
}

/// What is served, and how.
pub struct Service {
    /// The nodes.
    pub index: Arc<Index>,
    /// How.
    pub options: Options,
    /// Checks tokens, with `--auth token`.
    pub client: Option<Client>,
    /// HTTPS, if it is to be that.
    pub tls: Option<Tls>,
}

/// Serves until `stopping` becomes true and all connections have ended, or [`limits::DRAIN`] is over.
pub async fn serve(listener: TcpListener, service: Service, stopping: watch::Receiver<bool>) {
    let Service { index, options, client, tls } = service;
    let polls = usize::try_from(options.max_waiting_polls).unwrap_or(usize::MAX);
    let room = Room::new(room_for(polls.saturating_add(limits::CONNECTIONS_SPARE)));
    let peers = Peers::new(usize::try_from(options.max_connections_per_peer).unwrap_or(usize::MAX));
    let metrics = Metrics::new();
    let auth = client.map(|client| {
        let reviews = Reviews::new(client, options.audience, options.token_ttl, metrics.reviews.clone());
        Auth::new(reviews, options.allow_all_nodes_for)
    });
    let app = App(Arc::new(Shared {
        index,
        stopping: stopping.clone(),
        auth,
        metrics,
        polls: Room::new(polls),
        streams: Room::new(limits::STREAMS),
        connections: room.clone(),
    }));
    let server = Server { room, peers, routes: routes::all(app.clone()), full: routes::full(app), tls };
    server.run(listener, stopping).await;
}
