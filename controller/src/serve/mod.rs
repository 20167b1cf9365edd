//! The HTTP API.

mod answer;
mod health;
mod nodes;

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::index::Index;
use crate::limits;

/// What every handler has.
#[derive(Clone)]
struct App {
    index: Arc<Index>,
    /// Becomes true at a shutdown, which ends waiting polls.
    stopping: watch::Receiver<bool>,
}

/// Serves until `stopping` becomes true and all connections have ended, or [`limits::DRAIN`] is over.
pub async fn serve(listener: TcpListener, index: Arc<Index>, mut stopping: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(router(App { index, stopping: stopping.clone() }));
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others have to end first.
            tokio::time::sleep(limits::ACCEPT_RETRY).await;
            continue;
        };
        // A long poll's answer is one small packet that must not wait for more.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEADER_TIMEOUT)
            .max_buf_size(limits::HEADER_MAX_BYTES)
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    let _ = tokio::time::timeout(limits::DRAIN, connections.shutdown()).await;
}

fn router(app: App) -> Router {
    Router::new()
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/nodes/{name}", get(nodes::one))
        .route("/nodes/{name}", get(nodes::two_words))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(answer::no_such_route)
        .layer(map_response(answer::explain))
        .with_state(app)
}
