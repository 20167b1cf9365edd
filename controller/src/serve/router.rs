//! What there is to ask for.

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use crik_api::ErrorCode;

use super::app::App;
use super::routes::{events, go_agent, health, metrics, node, nodes, openapi, pod, reports, workloads};
use super::{answer, every_request};

/// Every route, as `openapi.yaml` describes it.
pub fn table() -> [(&'static str, MethodRouter<App>); 11] {
    let [healthz, readyz, metrics] = open();
    [
        ("/v1/nodes", get(nodes::list)),
        (node::PATH, get(node::one)),
        ("/v1/pods/{namespace}/{name}", get(pod::one)),
        (reports::PATH, post(reports::take)),
        ("/v1/workloads", get(workloads::list)),
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
pub fn all(app: App) -> Router {
    let routes = table().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    finish(routes.fallback(no_such_route), app)
}

/// What is served on a connection that there is no room for.
pub fn full(app: App) -> Router {
    let routes = open().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    finish(routes.fallback(answer::no_connection), app)
}

fn finish(routes: Router<App>, app: App) -> Router {
    // One layer: each takes memory as long as a poll waits.
    routes.layer(from_fn_with_state(app.clone(), every_request::count)).with_state(app)
}

/// There is nothing at this path.
async fn no_such_route() -> Response {
    let paths: Vec<&str> = table().into_iter().map(|(path, _)| path).collect();
    let problem = format!("no such route; there are {}", paths.join(", "));
    answer::error(StatusCode::NOT_FOUND, ErrorCode::NoSuchRoute, problem)
}
