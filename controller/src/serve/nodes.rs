//! `GET /v1/nodes`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use crik_api::NodeList;

use super::caller::MayReadAll;
use super::{App, answer, room};

/// All nodes.
pub async fn list(State(app): State<App>, _: MayReadAll) -> Response {
    let Some(place) = app.0.streams.enter() else { return answer::too_many_streams() };
    match app.0.index.all() {
        Some(nodes) => room::hold(place, Json(NodeList { nodes }).into_response()),
        None => answer::not_ready(),
    }
}
