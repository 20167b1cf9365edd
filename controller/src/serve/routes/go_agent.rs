//! `GET /nodes/{name}`, as the Go agent asks.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use crik_api::NodeState;
use serde::Serialize;

use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::Asked;

/// What the Go agent reads.
#[derive(Debug, Serialize)]
pub(super) struct TwoWords {
    pub(super) name: String,
    pub(super) state: &'static str,
}

/// The Go agent takes a checkpoint for one word only, so that is the answer in every state in which our own agent takes
/// one.
pub async fn two_words(State(app): State<App>, Asked { node: name, .. }: Asked) -> Response {
    let Some(status) = app.0.index.get(&name) else { return answer::not_ready() };
    let state = match status.state {
        NodeState::Unknown | NodeState::Ready => NodeState::Unknown,
        NodeState::Cordoned
        | NodeState::Evicting
        | NodeState::Draining
        | NodeState::ShuttingDown
        | NodeState::Gone => NodeState::ShuttingDown,
    };
    Json(TwoWords { name, state: state.as_str() }).into_response()
}
