//! What a handler asks of its caller, as an argument of the handler.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;

use super::{App, answer, name};
use crate::auth::Permission;

/// The node that is asked for, by one who may ask for it.
pub struct Asked(pub String);

/// Stands for a caller who may read all nodes.
pub struct MayReadAll;

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
        check(parts, app, Permission::AllNodes).await?;
        Ok(Self)
    }
}

async fn check(parts: &Parts, app: &App, permission: Permission<'_>) -> Result<(), Response> {
    match &app.0.auth {
        // In a box, or every poll would take the room of it as long as it waits.
        Some(auth) => Box::pin(auth.check(&parts.headers, permission))
            .await
            .map_err(|refusal| answer::refused(&refusal)),
        None => Ok(()),
    }
}
