//! What a handler asks of its caller, as an argument of the handler.

use std::time::{Duration, SystemTime};

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use tokio::time::Instant;

use super::app::App;
use super::{answer, name};
use crate::auth::Permission;

/// The node that is asked for, by one who may ask for it.
pub struct Asked(pub String);

/// Stands for a caller who may read all nodes, until its token expires, if it needs one.
pub struct MayReadAll(pub Option<Instant>);

impl FromRequestParts<App> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        let name = name::check(path).map_err(|problem| answer::error(StatusCode::BAD_REQUEST, problem))?;
        check(parts, app, Permission::Node(&name)).await?;
        Ok(Self(name))
    }
}

impl FromRequestParts<App> for MayReadAll {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let expires = check(parts, app, Permission::AllNodes).await?;
        Ok(Self(expires.and_then(reached)))
    }
}

/// When a time of the calendar is reached; none if that is too far away to matter.
fn reached(time: SystemTime) -> Option<Instant> {
    let left = time.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    Instant::now().checked_add(left)
}

/// When the permission ends, if it does.
async fn check(parts: &Parts, app: &App, permission: Permission<'_>) -> Result<Option<SystemTime>, Response> {
    let Some(auth) = &app.0.auth else { return Ok(None) };
    // In a box, or every poll would take the room of it as long as it waits.
    let checked = Box::pin(auth.check(&parts.headers, permission)).await;
    checked.map(Some).map_err(|refusal| answer::refused(&refusal))
}
