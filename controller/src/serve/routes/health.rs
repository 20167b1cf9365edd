//! Probes.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::serve::answer;
use crate::serve::app::App;

/// The process serves.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// The first list is complete, and the process is not told to stop. A source that is lost later does not change it: old states
/// are better than none.
pub async fn ready(State(app): State<App>) -> Response {
    if app.0.stopping.is_told() {
        return answer::leaving();
    }
    if app.0.index.is_ready() { "ok\n".into_response() } else { answer::not_ready() }
}
