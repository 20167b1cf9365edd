//! `GET /v1/nodes`

use axum::extract::State;
use axum::response::Response;
use crik_api::NodeList;

use crate::serve::app::App;
use crate::serve::caller::MayReadAll;
use crate::serve::{answer, portions};

/// All nodes.
pub async fn list(State(app): State<App>, MayReadAll(_): MayReadAll) -> Response {
    let Some(place) = app.0.streams.enter() else { return answer::too_many_streams() };
    match app.0.index.all() {
        Some(nodes) => portions::json(place, &NodeList { nodes }),
        None => answer::not_ready(),
    }
}
