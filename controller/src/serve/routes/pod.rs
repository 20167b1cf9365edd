//! `GET /v1/pods/{namespace}/{name}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use crik_api::ErrorCode;

use crate::connections::Peer;
use crate::pods::PodError;
use crate::serve::answer;
use crate::serve::app::App;
use crate::serve::caller::AskedPod;

/// Who ends the pod, as its object says now.
pub async fn one(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    AskedPod { namespace, name, uid }: AskedPod,
) -> Response {
    let Some(pods) = &app.0.pods else { return answer::no_pods() };
    // In a box, since this future is part of each request's, polls included.
    match Box::pin(pods.status(peer, &namespace, &name)).await {
        Ok(status) if uid.is_some_and(|own| own != status.uid) => {
            let problem = format!("the pod of this token is gone, and another one is {namespace}/{name} now");
            answer::error(StatusCode::NOT_FOUND, ErrorCode::NoSuchPod, problem)
        }
        Ok(status) => Json(&*status).into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &PodError) -> Response {
    let problem = error.to_string();
    match error {
        PodError::Gone { .. } => answer::error(StatusCode::NOT_FOUND, ErrorCode::NoSuchPod, problem),
        PodError::Forbidden => answer::error(StatusCode::FORBIDDEN, ErrorCode::ControllerForbidden, problem),
        PodError::TooMany => answer::later(ErrorCode::NoRoom, problem),
        PodError::Unavailable(_) => answer::later(ErrorCode::ApiServerUnavailable, problem),
    }
}
