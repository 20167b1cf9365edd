//! `GET /v1/nodes[?limit=500][&continue=PAGE][&state=draining,shutting-down]`

pub(super) mod query;
mod sent;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use crik_api::ErrorCode;

use crate::connections::{Peer, hold};
use crate::serve::app::App;
use crate::serve::caller::MayReadAll;
use crate::serve::lists::Wanted;
use crate::serve::{answer, unchanged};

/// All nodes, or a part of them. Who has them already as they are is only told so.
pub async fn list(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    MayReadAll(_): MayReadAll,
    headers: HeaderMap,
    asked: Result<Query<query::Asked>, QueryRejection>,
) -> Response {
    let wanted = match query::check(asked) {
        Ok(wanted) => wanted,
        Err(problem) => return answer::wrong(ErrorCode::InvalidParameter, problem),
    };
    let Some(present) = app.0.index.version() else { return answer::not_ready() };
    let version = wanted.page.map_or(present, |page| page.version);
    if unchanged::is_known(&headers, version) {
        return unchanged::of(version, StatusCode::NOT_MODIFIED.into_response());
    }
    let place = match app.0.lists.enter(peer) {
        Ok(place) => place,
        Err(full) => return answer::too_many_reads("lists", full),
    };
    hold(place, answered(&app, wanted, &headers).await)
}

async fn answered(app: &App, wanted: Wanted, headers: &HeaderMap) -> Response {
    let text = match wanted.page {
        Some(page) => app.0.texts.at(page.version),
        None => app.0.texts.now().await,
    };
    let Some(text) = text else {
        return if wanted.page.is_some() { answer::list_expired() } else { answer::not_ready() };
    };
    let version = text.version;
    let sent = if wanted == Wanted::default() {
        sent::whole(app, text, headers).await
    } else {
        sent::part(app, text, wanted)
    };
    sent.map_or_else(answer::list_expired, |sent| unchanged::of(version, sent))
}
