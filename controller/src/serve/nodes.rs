//! Node states.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use crik_api::{NodeList, NodeState};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::{App, answer};
use crate::limits;

/// The parameters of a long poll.
#[derive(Debug, Deserialize)]
pub struct Poll {
    wait: Option<String>,
    since: Option<String>,
}

/// `GET /v1/nodes`
pub async fn list(State(app): State<App>) -> Response {
    match app.index.all() {
        Some(nodes) => Json(NodeList { nodes }).into_response(),
        None => answer::not_ready(),
    }
}

/// `GET /v1/nodes/{name}[?wait=2s&since=VERSION]`: with `wait`, answers at the first change after `since` (after now
/// if there is none) or when the time is up.
pub async fn one(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
    poll: Result<Query<Poll>, QueryRejection>,
) -> Response {
    let checked = check_name(name).and_then(|name| Ok((name, check_poll(poll)?)));
    let (name, (wait, since)) = match checked {
        Ok(checked) => checked,
        Err(problem) => return answer::error(StatusCode::BAD_REQUEST, problem),
    };
    let deadline = Instant::now() + wait;
    // Made before the first look, so that no change falls between the two.
    let (mut waiter, mut stopping) = (app.index.watch(&name), app.stopping.clone());
    let Some(mut status) = waiter.status() else { return answer::not_ready() };
    let since = since.unwrap_or_else(|| status.version.clone());
    while status.version == since {
        tokio::select! {
            () = waiter.changed() => {}
            () = sleep_until(deadline) => break,
            _ = stopping.wait_for(|stop| *stop) => break,
        }
        match waiter.status() {
            Some(now) => status = now,
            None => return answer::not_ready(),
        }
    }
    Json(status).into_response()
}

/// What the Go agent reads.
#[derive(Debug, Serialize)]
struct TwoWords {
    name: String,
    state: &'static str,
}

/// `GET /nodes/{name}`, as the Go agent asks. It takes a checkpoint for one word only, so that is the answer in every
/// state in which our own agent takes one.
pub async fn two_words(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    let name = match check_name(name) {
        Ok(name) => name,
        Err(problem) => return answer::error(StatusCode::BAD_REQUEST, problem),
    };
    let Some(status) = app.index.get(&name) else { return answer::not_ready() };
    let state = match status.state {
        NodeState::Unknown | NodeState::Ready => NodeState::Unknown,
        NodeState::Cordoned | NodeState::Draining | NodeState::ShuttingDown | NodeState::Gone => {
            NodeState::ShuttingDown
        }
    };
    Json(TwoWords { name, state: state.as_str() }).into_response()
}

/// Node names are RFC 1123 subdomains.
fn check_name(name: Result<Path<String>, PathRejection>) -> Result<String, String> {
    let Path(name) = name.map_err(|error| error.body_text())?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > limits::NAME_MAX || !name.split('.').all(label) {
        let shown: String = name.chars().take(limits::NAME_MAX).collect();
        return Err(format!("{shown:?} is no node name: at most 253 of a-z, 0-9, '-' and '.'"));
    }
    Ok(name)
}

fn check_poll(poll: Result<Query<Poll>, QueryRejection>) -> Result<(Duration, Option<String>), String> {
    let Query(poll) = poll.map_err(|error| error.body_text())?;
    let Some(text) = poll.wait else { return Ok((Duration::ZERO, poll.since)) };
    let wait = humantime::parse_duration(&text)
        .map_err(|error| format!("wait={text:?} is no duration such as 2s: {error}"))?;
    Ok((wait.min(limits::WAIT_MAX), poll.since))
}
