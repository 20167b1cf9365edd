//! What every request goes through: it is counted, and so is its time.

use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{self, HeaderValue, Version};
use axum::middleware::Next;
use axum::response::Response;

use super::answer;
use super::app::App;
use super::metrics::Route;
use super::routes::reports;

/// Marks an answer that waited for a change, so its time says nothing of ours.
#[derive(Clone, Copy)]
pub struct Waited;

/// Counts a request, and measures it until its answer begins. Refuses what is none of ours.
pub async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let turn = Turn::begins(&app, request.extensions().get::<MatchedPath>().map(MatchedPath::as_str));
    let response = match refused(&request) {
        None => answer::explain(next.run(request).await),
        Some(refused) => refused,
    };
    turn.ends(response)
}

/// A request that is being answered.
pub struct Turn<'a> {
    app: &'a App,
    route: &'a Route,
    began: Instant,
}

impl<'a> Turn<'a> {
    /// One of the route with this path, now.
    pub fn begins(app: &'a App, path: Option<&str>) -> Self {
        Self { app, route: app.0.routes.at(path), began: Instant::now() }
    }

    /// Counts it with this answer.
    pub fn ends<B>(self, mut response: http::Response<B>) -> http::Response<B> {
        if self.app.0.stopping.is_told() {
            // Who asks again does so elsewhere.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if response.extensions().get::<Waited>().is_none() {
            self.route.took(self.began.elapsed());
        }
        self.route.answered(response.status());
        response
    }
}

/// Why it is none of ours, if it is not.
pub fn refused(request: &http::Request<impl HttpBody>) -> Option<Response> {
    if !request.body().is_end_stream() && !reports::takes_body(request) {
        return Some(answer::no_bodies());
    }
    let nobody_asked = request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST);
    nobody_asked.then(answer::no_host)
}
