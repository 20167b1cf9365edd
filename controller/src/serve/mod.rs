//! The HTTP API: what there is to ask for, and who gets which answer. May import `index`, `connections`,
//! `workloads`, `reports`, `auth`, `tls`, `pods`, `evict` and `base`.

mod agents;
mod answer;
mod app;
mod caller;
mod every_request;
mod front;
mod lists;
mod metrics;
mod moves;
mod name;
mod node_states;
mod options;
mod router;
mod routes;
mod stopping;
mod unchanged;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::agents::Agents;
use self::app::{App, Reporting, Shared};
use self::front::Front;
use self::lists::Lists;
use self::metrics::Metrics;
pub use self::options::{AuthKind, Options};
use self::stopping::Stopping;
use crate::auth::{Auth, Reviews};
use crate::base::limits;
use crate::base::outcomes::Outcomes;
use crate::connections::{Peers, Places, Room, Server, room_for};
use crate::index::Index;
use crate::pods::Pods;
use crate::reports::Reports;
use crate::tls::Tls;
use crate::workloads::Workloads;

/// What is served, and how.
pub struct Service {
    /// The nodes.
    pub index: Arc<Index>,
    /// How.
    pub options: Options,
    /// Checks tokens, with `--auth token`.
    pub client: Option<Client>,
    /// Looks at pods, if that is wanted.
    pub pods: Option<Client>,
    /// The labelled pods, if they are watched.
    pub workloads: Option<Arc<Workloads>>,
    /// Takes reports, if that is wanted.
    pub reports: Option<Client>,
    /// This replica's name.
    pub instance: String,
    /// HTTPS, if it is to be that.
    pub tls: Option<Tls>,
    /// How the writing of Events goes.
    pub events: Outcomes,
    /// What comes of pods that the webhook is asked about.
    pub admissions: Outcomes,
    /// What comes of evictions that it is asked about.
    pub evictions: Outcomes,
    /// For how long these are held up.
    pub eviction_deadline: Duration,
}

/// Serves until `told` becomes true, and for the delay of the options after that; then until all connections have ended, or
/// [`limits::DRAIN`] is over.
pub async fn serve(listener: TcpListener, service: Service, told: watch::Receiver<bool>) {
    let Service { index, options, client, pods, workloads, reports, tls, .. } = service;
    let polls = usize::try_from(options.max_waiting_polls).unwrap_or(usize::MAX);
    let places = Places::new(room_for(polls.saturating_add(limits::CONNECTIONS_SPARE)));
    let peers = Peers::new(usize::try_from(options.max_connections_per_peer).unwrap_or(usize::MAX));
    let stopping = Stopping::new(told, options.shutdown_delay);
    let over = stopping.over();
    let metrics = Metrics::new(service.events, service.admissions, service.evictions);
    let auth = client.or(reports.clone()).map(|client| Arc::new(auth(client, &options, &metrics)));
    let reports = reports
        .map(|client| Reports::new(client, workloads.clone(), service.instance, metrics.reports.clone()));
    let reporting = auth.clone().zip(reports).map(|(auth, reports)| Reporting::new(auth, reports));
    // Who may read is another question.
    let auth = auth.filter(|_| options.auth == AuthKind::Token);
    let pods = pods.map(|client| Pods::new(client, metrics.pod_questions.clone()));
    let failed_handshakes = metrics.failed_handshakes.clone();
    let app = App(Arc::new(Shared {
        texts: Lists::new(Arc::clone(&index)),
        index,
        stopping,
        auth,
        pods,
        workloads,
        eviction_deadline: service.eviction_deadline,
        reporting,
        routes: metrics.of_routes(router::table().map(|(path, _)| path)),
        metrics,
        agents: Agents::default(),
        polls: Places::new(polls),
        lists: Room::new(limits::LISTS, limits::READS_PER_PEER),
        streams: Room::new(limits::STREAMS, limits::READS_PER_PEER),
        connections: places.clone(),
    }));
    let head_timeout = limits::HEADER_TIMEOUT;
    let server = Server { places, peers, serve: Front::of_each(app), tls, head_timeout, failed_handshakes };
    server.run(listener, over).await;
}

/// Who checks tokens.
fn auth(client: Client, options: &Options, metrics: &Metrics) -> Auth {
    let (audience, outcomes) = (options.audience.clone(), metrics.reviews.clone());
    let reviews = Reviews::new(client, audience, options.token_ttl, options.known_tokens(), outcomes);
    Auth::new(reviews, options.allow_all_nodes_for.clone())
}
