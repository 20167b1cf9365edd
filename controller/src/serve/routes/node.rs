//! `GET /v1/nodes/{name}[?wait=2s&since=VERSION]`

use std::future::pending;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use crik_api::report::MOVE_HEADER;
use crik_api::{ErrorCode, NodeStatus};
use futures_util::FutureExt;
use http_body_util::{Either, Full};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::base::limits;
use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::Asked;
use crate::serve::every_request::Waited;
use crate::serve::moves::MoveCall;

/// The path.
pub const PATH: &str = "/v1/nodes/{name}";

/// What stands there before the name.
pub const ABOVE: &str = "/v1/nodes/";

/// The header that tells an agent of its pod's move.
const MOVE: HeaderName = HeaderName::from_static(MOVE_HEADER);

/// What is sent: a text in one piece, which needs no box, or anything else.
pub type Sent = Either<Full<Bytes>, Body>;

/// The parameters.
#[derive(Debug, Deserialize)]
pub struct Poll {
    wait: Option<String>,
    since: Option<String>,
}

/// With `wait`, answers at the first change after `since` (after now if there is none) or when the time is up.
pub async fn one(
    State(app): State<App>,
    Asked { node: name, mut moving }: Asked,
    headers: HeaderMap,
    poll: Result<Query<Poll>, QueryRejection>,
) -> Response {
    let (wait, since) = match check(poll) {
        Ok(checked) => checked,
        Err(problem) => return answer::wrong(ErrorCode::InvalidParameter, problem),
    };
    if wait.is_zero() {
        return now(&app, &name).map(Body::new);
    }
    let deadline = Instant::now() + wait;
    let Some(status) = app.0.index.get(&name) else { return answer::not_ready() };
    if since.as_ref().is_some_and(|since| *since != status.version) {
        return told(status, moving.and_then(FutureExt::now_or_never));
    }
    let Some(_place) = app.0.polls.enter() else { return answer::too_many_polls() };
    let _counted = app.0.agents.enter(&headers);
    match changed(&app, &name, since.unwrap_or(status.version), &mut moving, deadline).await {
        Some((status, asked)) => (Extension(Waited), told(status, asked)).into_response(),
        None => answer::not_ready(),
    }
}

/// The node's status as it is.
pub fn now(app: &App, name: &str) -> axum::http::Response<Sent> {
    match app.0.index.text(name) {
        Some(Ok(text)) => {
            let mut response = axum::http::Response::new(Sent::Left(Full::new(text)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Some(Err(error)) => answer::broken(&error.to_string()).map(Sent::Right),
        None => answer::not_ready().map(Sent::Right),
    }
}

/// The status, and the move that the pod of whoever asks is asked for.
fn told(status: NodeStatus, asked: Option<HeaderValue>) -> Response {
    let mut response = Json(status).into_response();
    response.headers_mut().extend(asked.map(|asked| (MOVE, asked)));
    response
}

/// The node's status once it has another version or the pod of whoever asks is to be moved, or at the deadline, or soon after the
/// process is told to stop. None if the list of nodes is not complete.
async fn changed(
    app: &App,
    name: &str,
    since: String,
    moving: &mut Option<MoveCall>,
    mut deadline: Instant,
) -> Option<(NodeStatus, Option<HeaderValue>)> {
    // Made before the first look, so that no change falls between the two.
    let mut waiter = app.0.index.watch(name);
    let mut leaving = false;
    loop {
        let status = waiter.status()?;
        if status.version != since {
            app.0.metrics.answers.observe(waiter.since_change().as_secs_f64());
            return Some((status, moving.as_mut().and_then(FutureExt::now_or_never)));
        }
        drop(status);
        tokio::select! {
            () = waiter.changed() => {}
            asked = called(moving) => return Some((waiter.status()?, Some(asked))),
            () = sleep_until(deadline) => return Some((waiter.status()?, None)),
            end = app.0.stopping.leaves(), if !leaving => (deadline, leaving) = (deadline.min(end), true),
        }
    }
}

/// Returns when the move is asked for, if there is one to wait for.
async fn called(moving: &mut Option<MoveCall>) -> HeaderValue {
    match moving {
        Some(moving) => moving.await,
        None => pending().await,
    }
}

fn check(poll: Result<Query<Poll>, QueryRejection>) -> Result<(Duration, Option<String>), String> {
    let Query(poll) = poll.map_err(|error| error.body_text())?;
    let Some(text) = poll.wait else { return Ok((Duration::ZERO, poll.since)) };
    if text.len() > limits::WAIT_MAX_CHARS {
        return Err(format!("wait has {} characters; write a duration such as 2s", text.len()));
    }
    let wait = humantime::parse_duration(&text)
        .map_err(|error| format!("wait={text:?} is no duration such as 2s: {error}"))?;
    Ok((wait.min(limits::WAIT_MAX), poll.since))
}
