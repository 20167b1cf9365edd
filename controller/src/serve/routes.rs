//! What there is to ask for.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};

use super::{App, answer, events, go_agent, health, metrics, nodes, observe, openapi, poll};

/// Every route, as `openapi.yaml` describes it.
pub(super) fn table() -> [(&'static str, MethodRouter<App>); 8] {
    let [healthz, readyz, metrics] = open();
    [
        ("/v1/nodes", get(nodes::list)),
        ("/v1/nodes/{name}", get(poll::one)),
        ("/v1/events", get(events::stream)),
        ("/nodes/{name}", get(go_agent::two_words)),
        ("/openapi.yaml", get(openapi::description)),
        healthz,
        readyz,
        metrics,
    ]
}

/// Those that are answered also when there is no room: an overload must neither get the process killed nor hide.
fn open() -> [(&'static str, MethodRouter<App>); 3] {
    [("/healthz", get(health::alive)), ("/readyz", get(health::ready)), ("/metrics", get(metrics::scrape))]
}

/// What is served.
pub(super) fn all(app: App) -> Router {
    let routes = table().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    finish(routes.fallback(answer::no_such_route), app)
}

/// What is served on a connection that there is no room for.
pub(super) fn full(app: App) -> Router {
    let routes = open().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    finish(routes.fallback(answer::no_connection), app)
}

fn finish(routes: Router<App>, app: App) -> Router {
    // One layer: each takes memory as long as a poll waits.
    routes.layer(from_fn_with_state(app.clone(), observe::count)).with_state(app)
}
