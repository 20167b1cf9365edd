//! `GET /v1/nodes/{name}[?wait=2s&since=VERSION]`

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use crik_api::{ErrorCode, NodeStatus};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::base::limits;
use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::Asked;
use crate::serve::every_request::Waited;

/// The parameters.
#[derive(Debug, Deserialize)]
pub struct Poll {
    wait: Option<String>,
    since: Option<String>,
}

/// With `wait`, answers at the first change after `since` (after now if there is none) or when the time is up.
pub async fn one(
    State(app): State<App>,
    Asked(name): Asked,
    headers: HeaderMap,
    poll: Result<Query<Poll>, QueryRejection>,
) -> Response {
    let (wait, since) = match check(poll) {
        Ok(checked) => checked,
        Err(problem) => return answer::wrong(ErrorCode::InvalidParameter, problem),
    };
    let deadline = Instant::now() + wait;
    let Some(status) = app.0.index.get(&name) else { return answer::not_ready() };
    if wait.is_zero() || since.as_ref().is_some_and(|since| *since != status.version) {
        return Json(status).into_response();
    }
    let Some(_place) = app.0.polls.enter() else { return answer::too_many_polls() };
    let _counted = app.0.agents.enter(&headers);
    match changed(&app, &name, since.unwrap_or(status.version), deadline).await {
        Some(status) => (Extension(Waited), Json(status)).into_response(),
        None => answer::not_ready(),
    }
}

/// The node's status once it has another version, or at the deadline, or soon after the process is told to stop. None if the list of
/// nodes is not complete.
async fn changed(app: &App, name: &str, since: String, mut deadline: Instant) -> Option<NodeStatus> {
    // Made before the first look, so that no change falls between the two.
    let mut waiter = app.0.index.watch(name);
    let mut leaving = false;
    loop {
        let status = waiter.status()?;
        if status.version != since {
            app.0.metrics.answers.observe(waiter.since_change().as_secs_f64());
            return Some(status);
        }
        drop(status);
        tokio::select! {
            () = waiter.changed() => {}
            () = sleep_until(deadline) => return waiter.status(),
            end = app.0.stopping.leaves(), if !leaving => (deadline, leaving) = (deadline.min(end), true),
        }
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
