//! What every request goes through: it is counted, and so is its time.

use std::time::Instant;

use axum::body::HttpBody as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::Response;

use super::answer;
use super::app::App;
use super::metrics::{Answered, Asked};

/// Marks an answer that waited for a change, so its time says nothing of ours.
#[derive(Clone, Copy)]
pub struct Waited;

/// Counts a request, and measures it until its answer begins. Refuses what is none of ours.
pub async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    // What is no route is one to the metrics, or anyone could make up labels.
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = app.0.routes.iter().copied().find(|route| Some(*route) == path).unwrap_or("none");
    let began = Instant::now();
    let mut response = match refused(&request) {
        None => answer::explain(next.run(request).await),
        Some(refused) => refused,
    };
    if app.0.stopping.is_told() {
        // Who asks again does so elsewhere.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if response.extensions().get::<Waited>().is_none() {
        let seconds = began.elapsed().as_secs_f64();
        app.0.metrics.durations.get_or_create(&Asked { route }).observe(seconds);
    }
    let code = response.status().as_u16();
    app.0.metrics.requests.get_or_create(&Answered { route, code }).inc();
    response
}

fn refused(request: &Request) -> Option<Response> {
    if !request.body().is_end_stream() {
        return Some(answer::no_bodies());
    }
    let nobody_asked = request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST);
    nobody_asked.then(answer::no_host)
}
