//! `GET /v1/nodes`

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

use crate::connections::{Peer, hold};
use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::MayReadAll;
use crate::serve::lists::Portions;

/// All nodes.
pub async fn list(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    MayReadAll(_): MayReadAll,
) -> Response {
    let place = match app.0.lists.enter(peer) {
        Ok(place) => place,
        Err(full) => return answer::too_many_reads("lists", full),
    };
    let Some(text) = app.0.texts.now().await else { return answer::not_ready() };
    let body = Body::new(Portions::new(text));
    hold(place, ([(CONTENT_TYPE, "application/json")], body).into_response())
}
