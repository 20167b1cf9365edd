//! `GET /v1/workloads[?namespace=NAME][&limit=500][&continue=POD]`

mod query;
mod sent;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use crik_api::ErrorCode;

use crate::connections::{Peer, hold};
use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::MayReadAll;

/// The labelled pods, as the watch has told, with what their agents have.
pub async fn list(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    MayReadAll(_): MayReadAll,
    asked: Result<Query<query::Asked>, QueryRejection>,
) -> Response {
    let Some(workloads) = &app.0.workloads else { return answer::no_workloads() };
    let wanted = match query::check(asked) {
        Ok(wanted) => wanted,
        Err(problem) => return answer::wrong(ErrorCode::InvalidParameter, problem),
    };
    if !workloads.is_complete() || !app.0.index.is_ready() {
        return answer::not_ready();
    }
    let place = match app.0.lists.enter(peer) {
        Ok(place) => place,
        Err(full) => return answer::too_many_reads("lists", full),
    };
    hold(place, sent::answer(&app, wanted.of(workloads.all())))
}
