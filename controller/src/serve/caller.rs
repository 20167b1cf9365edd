//! What a handler asks of its caller, as an argument of the handler.

use std::time::{Duration, SystemTime};

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::response::Response;
use crik_api::ErrorCode;
use tokio::time::Instant;

use super::app::App;
use super::moves::{self, MoveCall};
use super::{answer, name};
use crate::auth::{Auth, Identity, Permission};
use crate::connections::Peer;
use crate::reports::Of;

/// The node that is asked for, by one who may ask for it.
pub struct Asked {
    /// Its name.
    pub node: String,
    /// The move of the pod that the caller is the agent of, if it has said that.
    pub moving: Option<MoveCall>,
}

/// The pod that is asked for, by one who may ask for it.
pub struct AskedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The uid of the caller's own pod, if a token has told it.
    pub uid: Option<String>,
}

/// The pod that has sent a report, as its token says: nobody else may, and it is always asked for.
pub struct ReportingPod(pub Of);

/// Stands for a caller who may read all nodes, until its token expires, if it needs one.
pub struct MayReadAll(pub Option<Instant>);

impl FromRequestParts<App> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        let Path(name) = path.map_err(|error| wrong(error.body_text()))?;
        name::check("node", &name).map_err(wrong)?;
        let identity = check(parts, app, Permission::Node(&name)).await?;
        Ok(Self { node: name, moving: moves::call(app, &parts.headers, identity.as_ref()) })
    }
}

impl FromRequestParts<App> for AskedPod {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let (namespace, name) = pod_of_path(parts, app).await?;
        let asked = Permission::Pod { namespace: &namespace, name: &name };
        let uid = check(parts, app, asked).await?.and_then(|identity| Some(identity.pod?.uid));
        Ok(Self { namespace, name, uid })
    }
}

impl FromRequestParts<App> for ReportingPod {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let Some(reporting) = &app.0.reporting else { return Err(answer::no_reports()) };
        let (namespace, name) = pod_of_path(parts, app).await?;
        let asked = Permission::Pod { namespace: &namespace, name: &name };
        let identity = identity(parts, &reporting.auth, asked).await?;
        let own = identity.pod.ok_or_else(|| answer::broken("a pod without a name"))?;
        Ok(Self(Of { namespace: own.namespace, name: own.name, uid: own.uid }))
    }
}

async fn pod_of_path(parts: &mut Parts, app: &App) -> Result<(String, String), Response> {
    let path: Result<Path<(String, String)>, PathRejection> = Path::from_request_parts(parts, app).await;
    let Path((namespace, name)) = path.map_err(|error| wrong(error.body_text()))?;
    name::check_namespace(&namespace).map_err(wrong)?;
    name::check("pod", &name).map_err(wrong)?;
    Ok((namespace, name))
}

fn wrong(problem: String) -> Response {
    answer::wrong(ErrorCode::InvalidName, problem)
}

impl FromRequestParts<App> for MayReadAll {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let identity = check(parts, app, Permission::AllNodes).await?;
        Ok(Self(identity.and_then(|identity| reached(identity.expires))))
    }
}

/// When a time of the calendar is reached; none if that is too far away to matter.
fn reached(time: SystemTime) -> Option<Instant> {
    let left = time.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    Instant::now().checked_add(left)
}

/// Who has the permission, if that has to be somebody.
async fn check(parts: &Parts, app: &App, permission: Permission<'_>) -> Result<Option<Identity>, Response> {
    let Some(auth) = &app.0.auth else { return Ok(None) };
    identity(parts, auth, permission).await.map(Some)
}

/// Who has the permission.
async fn identity(parts: &Parts, auth: &Auth, permission: Permission<'_>) -> Result<Identity, Response> {
    let peer = parts.extensions.get::<Peer>().copied().ok_or_else(|| answer::broken("nobody asks"))?;
    // In a box, or every poll would take the room of it as long as it waits.
    let checked = Box::pin(auth.check(&parts.headers, peer.0, permission)).await;
    checked.map_err(|refusal| answer::refused(&refusal))
}
